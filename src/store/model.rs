//! A model of a store, in memory and without cleverness, and a comparison of a real one with it.
//!
//! Any sequence of operations, restarts included, must show the same through a store and through the model. Each back end runs this on a store
//! of its own; what one only does for one of them belongs to that back end's tests.

mod operation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

pub(crate) use operation::{Operation, operations};
use operation::{ask, call, draft, respond_to};

use crate::domain::change::ChangeKind;
use crate::domain::clock::Timestamp;
use crate::domain::notification::draft::Draft;
use crate::domain::notification::filter::{Filter, Order};
use crate::domain::notification::response::Actor;
use crate::domain::notification::store::{ListQuery, Move, NotificationStore, Transition};
use crate::domain::notification::{Notification, Priority, Response, State};
use crate::domain::word::{Vocabulary, Word};

/// A store under test.
type Store = Arc<dyn NotificationStore>;

/// How long a request id is remembered.
const REQUEST_MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// More than there ever are.
const MANY: usize = 1_000;

/// The outcome of an operation: a value, or the name of the error.
type Outcome<T> = Result<T, String>;

fn named<T>(outcome: crate::domain::error::Result<T>) -> Outcome<T> {
    outcome.map_err(|error| {
        let text = format!("{error:?}");
        let end = text.find(|c: char| !c.is_alphanumeric());
        text[..end.unwrap_or(text.len())].to_owned()
    })
}

/// A change, without the time at which it was written: that is the clock of the back end.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    kind: ChangeKind,
    actor: Actor,
    notification: Notification,
}

/// What a store should hold.
#[derive(Debug, Clone, Default)]
struct Model {
    /// The notification with the id 1 first.
    notifications: Vec<Notification>,
    drafts: Vec<Draft>,
    /// The request ids of responses, by notification.
    responses: BTreeMap<i64, Uuid>,
    /// The change with the sequence 1 first.
    journal: Vec<Change>,
}

impl Model {
    fn find(&self, id: i64) -> Outcome<Notification> {
        let index = usize::try_from(id - 1).ok();
        let found = index.and_then(|index| self.notifications.get(index));
        found.cloned().ok_or_else(|| "NotificationNotFound".into())
    }

    fn head(&self) -> i64 {
        i64::try_from(self.journal.len()).expect("few")
    }

    /// Records that a notification has become `now`, and returns it with its sequence.
    fn record(&mut self, kind: ChangeKind, actor: &Actor, mut now: Notification) -> Notification {
        now.sequence = self.head() + 1;
        self.journal.push(Change {
            kind,
            actor: actor.clone(),
            notification: now.clone(),
        });
        let index = usize::try_from(now.id - 1).expect("an id");
        if index < self.notifications.len() {
            self.notifications[index] = now.clone();
        } else {
            self.notifications.push(now.clone());
        }
        now
    }

    /// Creates all of `drafts`, or none.
    fn create(&mut self, drafts: &[Draft], now: Timestamp) -> Outcome<Vec<Notification>> {
        let before = self.clone();
        let created: Outcome<_> = drafts
            .iter()
            .map(|draft| self.create_one(draft, now))
            .collect();
        if created.is_err() {
            *self = before;
        }
        created
    }

    fn create_one(&mut self, draft: &Draft, now: Timestamp) -> Outcome<Notification> {
        let same_id = |known: &&Notification| {
            let index = usize::try_from(known.id - 1).expect("an id");
            draft.request_id.is_some() && self.drafts[index].request_id == draft.request_id
        };
        if let Some(earlier) = self.notifications.iter().rev().find(same_id)
            && now.since(earlier.create_time.expect("a time")) < REQUEST_MEMORY
        {
            let index = usize::try_from(earlier.id - 1).expect("an id");
            return if self.drafts[index] == *draft {
                Ok(earlier.clone())
            } else {
                Err("RequestIdReused".to_owned())
            };
        }
        let id = i64::try_from(self.notifications.len()).expect("few") + 1;
        let asked = ask(draft, id, now);
        self.drafts.push(draft.clone());
        let actor = Actor {
            name: draft.agent.clone(),
            surface: draft.surface.clone(),
        };
        Ok(self.record(ChangeKind::Created, &actor, asked))
    }

    fn respond(
        &mut self,
        id: i64,
        text: &str,
        actor: &Actor,
        request_id: Option<Uuid>,
        now: Timestamp,
    ) -> Outcome<Notification> {
        let before = self.find(id)?;
        if let (Word::Known(State::Responded), Some(response)) = (&before.state, &before.response) {
            let same_request =
                request_id.is_some() && self.responses.get(&id).copied() == request_id;
            if same_request || (response.text == text && response.responder == actor.name) {
                return Ok(before);
            }
        }
        if !before.is_open() {
            return Err("NotificationClosed".to_owned());
        }
        if text.is_empty() {
            return Err("InvalidField".to_owned());
        }
        let is_option = before.options.iter().any(|option| option.name == text);
        if !before.options.is_empty() && !is_option {
            return Err("ResponseNotAllowed".to_owned());
        }
        let response = Response {
            text: text.to_owned(),
            options: if is_option {
                vec![text.to_owned()]
            } else {
                Vec::new()
            },
            responder: actor.name.clone(),
            surface: actor.surface.clone(),
            time: Some(now),
            is_default: false,
        };
        if let Some(request_id) = request_id {
            self.responses.insert(id, request_id);
        }
        let answered = closed(before, State::Responded, actor, Some(response), now);
        Ok(self.record(ChangeKind::Responded, actor, answered))
    }

    fn transition(&mut self, change: &Move, now: Timestamp) -> Outcome<Notification> {
        let before = self.find(change.id)?;
        let (to, kind) = match change.transition {
            Transition::Read => (State::Read, ChangeKind::Read),
            Transition::Dismiss => (State::Dismissed, ChangeKind::Dismissed),
            Transition::Cancel => (State::Cancelled, ChangeKind::Cancelled),
        };
        let after = match (&before.state, to) {
            (Word::Known(State::Pending), State::Read) => Notification {
                state: Word::Known(State::Read),
                update_time: Some(now),
                read_time: Some(now),
                ..before
            },
            (_, State::Read) => return Ok(before),
            (Word::Known(state), to) if *state == to => return Ok(before),
            _ if before.is_open() => closed(before, to, &change.actor, None, now),
            _ => return Err("NotificationClosed".to_owned()),
        };
        Ok(self.record(kind, &change.actor, after))
    }

    /// The ids of those whose time has come.
    fn due(&self, now: Timestamp) -> BTreeSet<i64> {
        let open = self.notifications.iter().filter(|n| n.is_open());
        open.filter(|n| n.expire_time.is_some_and(|time| time <= now))
            .map(|n| n.id)
            .collect()
    }

    fn expire(&mut self, id: i64, now: Timestamp) {
        let before = self.find(id).expect("it is due");
        let nobody = Actor {
            name: String::new(),
            surface: String::new(),
        };
        let default = (!before.default_response.is_empty()).then(|| Response {
            text: before.default_response.clone(),
            options: Vec::new(),
            responder: String::new(),
            surface: String::new(),
            time: Some(now),
            is_default: true,
        });
        let expired = closed(before, State::Expired, &nobody, default, now);
        self.record(ChangeKind::Expired, &nobody, expired);
    }

    fn list(&self, filter: &Filter, order: Order) -> Vec<Notification> {
        let chosen = |n: &&Notification| {
            (filter.states.values.is_empty()
                || n.state
                    .known()
                    .is_some_and(|state| filter.states.values.contains(&state)))
                && (filter.agent.is_empty() || filter.agent == n.agent)
        };
        let mut found: Vec<Notification> =
            self.notifications.iter().filter(chosen).cloned().collect();
        let urgency = |n: &Notification| {
            Priority::ALL
                .iter()
                .position(|priority| n.priority == Word::Known(*priority))
        };
        match order {
            Order::OldestFirst => {}
            Order::NewestFirst => found.reverse(),
            // A stable sort: those as urgent as each other stay in the order of their ids.
            Order::MostUrgentFirst => found.sort_by_key(urgency),
        }
        found
    }
}

/// `before` in the end state `state`.
fn closed(
    before: Notification,
    state: State,
    actor: &Actor,
    response: Option<Response>,
    now: Timestamp,
) -> Notification {
    Notification {
        state: Word::Known(state),
        update_time: Some(now),
        close_time: Some(now),
        closed_by: actor.name.clone(),
        closed_surface: actor.surface.clone(),
        response,
        ..before
    }
}

/// A store beside its model.
struct Pair {
    store: Store,
    model: Model,
    epoch: String,
    /// Seconds since the beginning; the clock may be set back.
    seconds: i64,
}

/// Runs `operations` on the store that `open` returns and on a model, and compares all that they show. `open` is called again for each restart,
/// when nobody holds the store any more.
pub(crate) async fn compare(operations: Vec<Operation>, mut open: impl FnMut() -> Store) {
    let store = open();
    let mut pair = Pair {
        epoch: store.epoch().to_owned(),
        store,
        model: Model::default(),
        seconds: 0,
    };
    for operation in operations {
        if operation == Operation::Restart {
            let Pair {
                store,
                model,
                epoch,
                seconds,
            } = pair;
            drop(store);
            let store = open();
            assert_eq!(store.epoch(), epoch);
            pair = Pair {
                store,
                model,
                epoch,
                seconds,
            };
        } else {
            pair.run(operation).await;
        }
        assert_eq!(*pair.store.head().borrow(), pair.model.head());
    }
    pair.compare_journal(0, MANY).await;
    let everything = Filter::default();
    pair.compare_list(&everything, Order::OldestFirst, MANY)
        .await;
}

impl Pair {
    async fn run(&mut self, operation: Operation) {
        let call = call(self.seconds);
        match operation {
            Operation::Create(contents) => {
                let drafts: Vec<Draft> = contents.iter().map(draft).collect();
                let new = drafts
                    .iter()
                    .cloned()
                    .map(|d| d.validate(call.now).expect("valid"));
                let stored = named(self.store.create(new.collect(), call).await);
                assert_eq!(stored, self.model.create(&drafts, call.now));
            }
            Operation::Respond {
                id,
                text,
                who,
                request,
            } => {
                let respond = respond_to(id, text, who, request);
                let told =
                    self.model
                        .respond(id, text, &respond.actor, respond.request_id, call.now);
                assert_eq!(named(self.store.respond(respond, call).await), told);
            }
            Operation::Move(change) => {
                let told = self.model.transition(&change, call.now);
                assert_eq!(named(self.store.transition(change, call).await), told);
            }
            Operation::Wait(seconds) => self.seconds += seconds,
            Operation::Expire => self.expire().await,
            Operation::Get(id) => {
                assert_eq!(named(self.store.get(id).await), self.model.find(id));
            }
            Operation::List {
                filter,
                order,
                size,
            } => self.compare_list(&filter, order, size).await,
            Operation::Journal { after, limit } => self.compare_journal(after, limit).await,
            Operation::History { id, after } => self.compare_history(id, after).await,
            Operation::Snapshot(filter) => {
                let snapshot = self
                    .store
                    .snapshot(filter.clone(), MANY)
                    .await
                    .expect("small");
                assert_eq!(
                    snapshot.notifications,
                    self.model.list(&filter, Order::OldestFirst)
                );
                assert_eq!(snapshot.bounds.head, self.model.head());
            }
            Operation::Restart => {}
        }
    }

    /// All that are due expire; in which order is the store's affair.
    async fn expire(&mut self) {
        let call = call(self.seconds);
        let mut due = self.model.due(call.now);
        let expired = self.store.expire_due(MANY, call).await.expect("an expiry");
        assert_eq!(expired.count, due.len());
        let after = self.model.head();
        let changes = self
            .store
            .changes_after(after, MANY)
            .await
            .expect("changes");
        for change in changes {
            let id = change.notification.id;
            assert!(due.remove(&id), "{id} is not due");
            self.model.expire(id, call.now);
        }
        assert!(due.is_empty(), "{due:?} should have expired");
        self.compare_journal(after, MANY).await;
        let open = self.model.notifications.iter().filter(|n| n.is_open());
        let next = open.filter_map(|n| n.expire_time).min();
        assert_eq!(expired.next, next);
    }

    async fn compare_list(&self, filter: &Filter, order: Order, size: usize) {
        let mut query = ListQuery {
            filter: filter.clone(),
            order,
            size,
            after: None,
        };
        let mut listed = Vec::new();
        loop {
            let page = self.store.list(query.clone()).await.expect("a page");
            assert!(page.notifications.len() <= size);
            assert_eq!(
                (page.bounds.oldest, page.bounds.head),
                (1, self.model.head())
            );
            listed.extend(page.notifications);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        assert_eq!(listed, self.model.list(filter, order));
        let open = self
            .model
            .notifications
            .iter()
            .filter(|n| n.is_open())
            .count();
        let counted = self.store.count_open(size).await.expect("a count");
        assert_eq!(counted, open.min(size));
    }

    async fn compare_journal(&self, after: i64, limit: usize) {
        let found = named(self.store.changes_after(after, limit).await);
        let Some(skipped) = usize::try_from(after)
            .ok()
            .filter(|_| after <= self.model.head())
        else {
            return assert_eq!(found.err().as_deref(), Some("UnknownCursor"));
        };
        let found = found.expect("changes");
        let expected = self.model.journal.iter().skip(skipped).take(limit);
        let expected: Vec<&Change> = expected.collect();
        assert!(
            found
                .iter()
                .map(|change| change.sequence)
                .eq((after + 1..).take(expected.len()))
        );
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(seen(found), *expected);
            assert!(found.has_content && found.time.is_some());
        }
    }

    async fn compare_history(&self, id: i64, after: i64) {
        let history = self
            .store
            .history(id, after, MANY)
            .await
            .expect("a history");
        let of =
            |change: &&Change| change.notification.id == id && change.notification.sequence > after;
        let expected = self.model.journal.iter().filter(of).cloned();
        assert!(history.iter().map(seen).eq(expected));
    }
}

/// A change as the model has it.
fn seen(change: &crate::domain::change::Change) -> Change {
    Change {
        kind: change.kind,
        actor: Actor {
            name: change.actor.clone(),
            surface: change.surface.clone(),
        },
        notification: change.notification.clone(),
    }
}
