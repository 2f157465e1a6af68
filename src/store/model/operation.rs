//! What may be done to a store, drawn at random from few values, so that things meet.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use uuid::Uuid;

use crate::domain::authority::Authority;
use crate::domain::clock::Timestamp;
use crate::domain::notification::draft::{Draft, Expiration};
use crate::domain::notification::filter::{Filter, Order, Selection};
use crate::domain::notification::response::Actor;
use crate::domain::notification::store::{Call, Move, Respond, Transition};
use crate::domain::notification::{Choice, Notification, NotificationType, Priority, State};
use crate::domain::word::{Vocabulary, Word};

/// When everything begins.
const BEGIN: i64 = 1_760_000_000_000_000;
/// Ids up to here are asked for; a run creates about as many.
const LAST_ID: i64 = 12;
/// Places in the journal up to here are asked for.
const LAST_SEQUENCE: i64 = 30;
const AGENTS: [&str; 3] = ["", "one", "two"];
const PEOPLE: [&str; 2] = ["ann", "bob"];
const RESPONSES: [&str; 4] = ["yes", "no", "later", ""];

/// One thing that is done to a store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    /// One notification or several are created.
    Create(Vec<Content>),
    /// Somebody answers.
    Respond {
        id: i64,
        text: &'static str,
        who: &'static str,
        request: Option<u8>,
    },
    /// The state is changed.
    Move(Move),
    /// Time passes, or the clock is set back.
    Wait(i64),
    /// What is due expires.
    Expire,
    /// One is read.
    Get(i64),
    /// Some are listed, page by page.
    List {
        filter: Filter,
        order: Order,
        size: usize,
    },
    /// The journal is read.
    Journal { after: i64, limit: usize },
    /// The journal of one notification is read.
    History { id: i64, after: i64 },
    /// Some are read at once.
    Snapshot(Filter),
    /// The store is closed, and opened again.
    Restart,
}

/// What distinguishes one notification from another.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Content {
    title: u8,
    priority: Priority,
    agent: &'static str,
    has_options: bool,
    expires_after: Option<u64>,
    has_default: bool,
    request: Option<u8>,
}

/// Sequences of operations.
pub(crate) fn operations() -> impl Strategy<Value = Vec<Operation>> {
    vec(operation(), 1..60)
}

fn operation() -> impl Strategy<Value = Operation> {
    let id = 0..=LAST_ID;
    let respond = (
        id.clone(),
        select(&RESPONSES[..]),
        select(&PEOPLE[..]),
        option::of(0..2_u8),
    );
    let respond = respond.prop_map(|(id, text, who, request)| Operation::Respond {
        id,
        text,
        who,
        request,
    });
    let list = (filter(), order(), 1..6_usize);
    let list = list.prop_map(|(filter, order, size)| Operation::List {
        filter,
        order,
        size,
    });
    let journal = (0..=LAST_SEQUENCE, 1..8_usize);
    let history = (id.clone(), 0..=LAST_SEQUENCE);
    let seconds = prop_oneof![4 => 1..90_i64, 1 => -60..0_i64, 1 => Just(100_000)];
    prop_oneof![
        6 => vec(content(), 1..4).prop_map(Operation::Create),
        5 => respond,
        5 => movement().prop_map(Operation::Move),
        3 => seconds.prop_map(Operation::Wait),
        2 => Just(Operation::Expire),
        1 => id.prop_map(Operation::Get),
        2 => list,
        2 => journal.prop_map(|(after, limit)| Operation::Journal { after, limit }),
        1 => history.prop_map(|(id, after)| Operation::History { id, after }),
        1 => filter().prop_map(Operation::Snapshot),
        1 => Just(Operation::Restart),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let parts = (
        0..2_u8,
        select(Priority::ALL),
        select(&AGENTS[..]),
        any::<bool>(),
        option::of(1..120_u64),
        any::<bool>(),
        option::weighted(0.4, 0..3_u8),
    );
    parts.prop_map(
        |(title, priority, agent, has_options, expires_after, has_default, request)| Content {
            title,
            priority,
            agent,
            has_options,
            expires_after,
            has_default,
            request,
        },
    )
}

fn movement() -> impl Strategy<Value = Move> {
    let transitions = vec![Transition::Read, Transition::Dismiss, Transition::Cancel];
    let parts = (0..=LAST_ID, select(transitions), select(&PEOPLE[..]));
    parts.prop_map(|(id, transition, who)| Move {
        id,
        transition,
        actor: actor(who),
        authority: Authority::Person,
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    let states = subsequence(State::ALL, 0..=State::ALL.len());
    (states, select(&AGENTS[..])).prop_map(|(values, agent)| Filter {
        states: Selection {
            values,
            others: false,
        },
        agent: agent.to_owned(),
        ..Filter::default()
    })
}

fn order() -> impl Strategy<Value = Order> {
    select(vec![
        Order::OldestFirst,
        Order::NewestFirst,
        Order::MostUrgentFirst,
    ])
}

fn actor(name: &str) -> Actor {
    Actor {
        name: name.to_owned(),
        surface: "test".to_owned(),
    }
}

/// A call `seconds` after the beginning.
pub(super) fn call(seconds: i64) -> Call {
    Call {
        now: Timestamp::from_micros(BEGIN + seconds * 1_000_000).expect("in range"),
        deadline: None,
    }
}

/// What somebody asks for who wants `content`.
pub(super) fn draft(content: &Content) -> Draft {
    let choice = |name: &str| Choice {
        name: name.to_owned(),
        description: format!("say {name}"),
    };
    let names: &[&str] = if content.has_options {
        &["yes", "no"]
    } else {
        &[]
    };
    let has_default = content.has_default && content.expires_after.is_some();
    let after = |seconds| Expiration::After(Duration::from_secs(seconds));
    Draft {
        request_id: content
            .request
            .map(|n| Uuid::from_u128(1_000 + u128::from(n))),
        kind: NotificationType::Question,
        priority: content.priority,
        title: format!("title {}", content.title),
        message: "with \"quotes\" — ünïcode".to_owned(),
        context: String::new(),
        agent: content.agent.to_owned(),
        session: String::new(),
        project: "project".to_owned(),
        tags: vec!["tag".to_owned()],
        options: names.iter().map(|name| choice(name)).collect(),
        allow_multiple: false,
        allow_text: false,
        expiration: content.expires_after.map(after),
        default_response: if has_default { "no" } else { "" }.to_owned(),
        surface: "test".to_owned(),
        owner: None,
    }
}

/// What `draft` becomes.
pub(super) fn ask(draft: &Draft, id: i64, now: Timestamp) -> Notification {
    let expire_time = match draft.expiration {
        None => None,
        Some(Expiration::At(time)) => Some(time),
        Some(Expiration::After(span)) => Some(now.saturating_add(span)),
    };
    Notification {
        id,
        kind: Word::Known(draft.kind),
        priority: Word::Known(draft.priority),
        state: Word::Known(State::Pending),
        title: draft.title.clone(),
        message: draft.message.clone(),
        context: draft.context.clone(),
        agent: draft.agent.clone(),
        session: draft.session.clone(),
        project: draft.project.clone(),
        tags: draft.tags.clone(),
        options: draft.options.clone(),
        allow_multiple: draft.allow_multiple,
        allow_text: draft.allow_text,
        create_time: Some(now),
        update_time: Some(now),
        read_time: None,
        close_time: None,
        closed_by: String::new(),
        closed_surface: String::new(),
        expire_time,
        default_response: draft.default_response.clone(),
        response: None,
        sequence: 0,
        owner: draft.owner,
    }
}

/// The answer `text` by `who`.
pub(super) fn respond_to(id: i64, text: &str, who: &str, request: Option<u8>) -> Respond {
    Respond {
        id,
        text: text.to_owned(),
        options: Vec::new(),
        actor: actor(who),
        request_id: request.map(|n| Uuid::from_u128(2_000 + u128::from(n))),
    }
}
