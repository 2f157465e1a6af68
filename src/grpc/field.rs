//! Fields of the wire as types of the domain, and back.
//!
//! Everything that comes in may be anything: an unknown number in an enum, a time outside the calendar, a negative span. Each is refused
//! with the name of its field, and nothing panics.

use std::time::Duration;

use uuid::Uuid;

use super::pb::notification::v1 as pb;
use crate::domain::authority::Authority;
use crate::domain::change::{Change, ChangeKind, Cursor, JournalBounds};
use crate::domain::clock::Timestamp;
use crate::domain::error::{Error, Result};
use crate::domain::notification::draft::{Draft, Expiration};
use crate::domain::notification::filter::{Filter, Order, Selection};
use crate::domain::notification::response::Actor;
use crate::domain::notification::{
    Choice, Notification, NotificationType, Priority, Response, State,
};
use crate::domain::word::{Vocabulary, Word};

const MICROS_PER_SECOND: i64 = 1_000_000;
const NANOS_PER_MICRO: i32 = 1_000;
const NANOS_PER_SECOND: i32 = 1_000_000_000;
/// The longest span that the wire can carry: about 10,000 years.
const MAX_DURATION_SECONDS: i64 = 315_576_000_000;

/// A vocabulary that the wire has as an enum, in which 0 is UNSPECIFIED.
pub(super) trait WireEnum: Vocabulary {
    /// The number of a value.
    fn number(self) -> i32;

    /// The value with this number; `None` for UNSPECIFIED and for numbers that this daemon does not know.
    fn from_number(number: i32) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|value| value.number() == number)
    }
}

/// Pairs each value of a vocabulary with its value on the wire; the match is exhaustive.
macro_rules! wire_enum {
    ($domain:ident => $wire:ident: $($value:ident),+) => {
        impl WireEnum for $domain {
            fn number(self) -> i32 {
                match self {
                    $(Self::$value => pb::$wire::$value as i32,)+
                }
            }
        }
    };
}

wire_enum!(NotificationType => NotificationType: Question, Info, Warning, Error, Completion);
wire_enum!(Priority => Priority: Critical, High, Normal, Low);
wire_enum!(State => NotificationState: Pending, Read, Responded, Dismissed, Cancelled, Expired);
wire_enum!(ChangeKind => ChangeKind: Created, Read, Responded, Dismissed, Cancelled, Expired, Updated, Deleted);

/// The value that a required enum field holds.
fn required<T: WireEnum>(field: &str, number: i32) -> Result<T> {
    if number == 0 {
        return Err(Error::invalid(field, "is required"));
    }
    T::from_number(number).ok_or_else(|| unknown(field, number))
}

pub(super) fn unknown(field: &str, number: i32) -> Error {
    let rule = format!("has no value {number}; the daemon may be older than the client");
    Error::invalid(field, rule)
}

/// What a repeated enum field of a filter selects, in the order of the vocabulary, so that the same selection always looks the same.
fn selection<T: WireEnum>(field: &str, numbers: &[i32]) -> Result<Selection<T>> {
    for (index, number) in numbers.iter().enumerate() {
        if *number != 0 && T::from_number(*number).is_none() {
            return Err(unknown(&format!("{field}[{index}]"), *number));
        }
    }
    let values = T::ALL.iter().copied();
    Ok(Selection {
        values: values
            .filter(|value| numbers.contains(&value.number()))
            .collect(),
        others: numbers.contains(&0),
    })
}

/// Parses a filter; none matches everything that `authority` may see.
pub(super) fn filter(
    filter: Option<pb::NotificationFilter>,
    authority: Authority,
) -> Result<Filter> {
    let filter = filter.unwrap_or_default();
    Ok(Filter {
        kinds: selection("filter.types", &filter.types)?,
        priorities: selection("filter.priorities", &filter.priorities)?,
        states: selection("filter.states", &filter.states)?,
        agent: filter.agent,
        session: filter.session,
        project: filter.project,
        owner: authority.owner(),
    })
}

/// Parses the kinds of change that a watch wants; none wants all.
pub(super) fn change_kinds(numbers: &[i32]) -> Result<Vec<ChangeKind>> {
    numbers
        .iter()
        .enumerate()
        .map(|(index, number)| match ChangeKind::from_number(*number) {
            Some(kind) => Ok(kind),
            None if *number == 0 => Err(Error::invalid(
                format!("kinds[{index}]"),
                "must not be UNSPECIFIED; leave `kinds` empty for all",
            )),
            None => Err(unknown(&format!("kinds[{index}]"), *number)),
        })
        .collect()
}

/// Parses the order of a list.
pub(super) fn order(number: i32) -> Result<Order> {
    match pb::ListOrder::try_from(number) {
        Ok(pb::ListOrder::Unspecified | pb::ListOrder::NewestFirst) => Ok(Order::NewestFirst),
        Ok(pb::ListOrder::OldestFirst) => Ok(Order::OldestFirst),
        Ok(pb::ListOrder::MostUrgentFirst) => Ok(Order::MostUrgentFirst),
        Err(_) => Err(unknown("order", number)),
    }
}

/// Parses the size of a page: 0 means `default`, and more than `most` means `most`.
pub(super) fn page_size(size: i32, default: usize, most: usize) -> Result<usize> {
    match usize::try_from(size) {
        Ok(0) => Ok(default),
        Ok(size) => Ok(size.min(most)),
        Err(_) => Err(Error::invalid("page_size", "must not be negative")),
    }
}

/// Parses a request id; the empty one is none.
pub(super) fn request_id(text: &str) -> Result<Option<Uuid>> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = Uuid::try_parse(text).map_err(|_| {
        Error::invalid(
            "request_id",
            "must be a UUID, as in 0190a6c1-7c4e-7d3b-9d1e-2f6a5b8c0d1e, or empty",
        )
    })?;
    Ok(Some(parsed))
}

/// Parses a point in time, cut to microseconds.
pub(super) fn timestamp(field: &str, time: prost_types::Timestamp) -> Result<Timestamp> {
    let rule = "must lie in the years 1 to 9999, with nanos of 0 to 999,999,999";
    let micros = || {
        if !(0..NANOS_PER_SECOND).contains(&time.nanos) {
            return None;
        }
        time.seconds
            .checked_mul(MICROS_PER_SECOND)?
            .checked_add(i64::from(time.nanos / NANOS_PER_MICRO))
    };
    micros()
        .and_then(Timestamp::from_micros)
        .ok_or_else(|| Error::invalid(field, rule))
}

/// Parses a span of time that must not be negative.
pub(super) fn duration(field: &str, span: prost_types::Duration) -> Result<Duration> {
    if span.seconds < 0 || span.nanos < 0 {
        return Err(Error::invalid(field, "must not be negative"));
    }
    match (u64::try_from(span.seconds), u32::try_from(span.nanos)) {
        (Ok(seconds), Ok(nanos))
            if span.seconds <= MAX_DURATION_SECONDS && span.nanos < NANOS_PER_SECOND =>
        {
            Ok(Duration::new(seconds, nanos))
        }
        _ => Err(Error::invalid(
            field,
            "must be at most 315,576,000,000 s, with nanos of 0 to 999,999,999",
        )),
    }
}

/// Through what an agent does something: only the way that a call took can say that, so the call has no say in it.
const AGENT_SURFACE: &str = "agent-socket";

/// Parses what is to be created on behalf of `authority`.
pub(super) fn draft(request: pb::CreateNotificationRequest, authority: Authority) -> Result<Draft> {
    use pb::create_notification_request::Expiration as Wire;
    let expiration = match request.expiration {
        None => None,
        Some(Wire::ExpireTime(time)) => Some(Expiration::At(timestamp("expire_time", time)?)),
        Some(Wire::Ttl(span)) => Some(Expiration::After(duration("ttl", span)?)),
    };
    let priority = match request.priority {
        0 => Priority::Normal,
        number => required("priority", number)?,
    };
    Ok(Draft {
        request_id: request_id(&request.request_id)?,
        kind: required("type", request.r#type)?,
        priority,
        title: request.title,
        message: request.message,
        context: request.context,
        agent: request.agent,
        session: request.session,
        project: request.project,
        tags: request.tags,
        options: request.options.into_iter().map(choice).collect(),
        allow_multiple: request.allow_multiple,
        allow_text: request.allow_text,
        expiration,
        default_response: request.default_response,
        surface: surface(request.surface, authority),
        owner: authority.owner(),
    })
}

fn choice(option: pb::Option) -> Choice {
    Choice {
        name: option.name,
        description: option.description,
    }
}

fn surface(surface: String, authority: Authority) -> String {
    match authority {
        Authority::Person => surface,
        Authority::Agent(_) => AGENT_SURFACE.to_owned(),
    }
}

/// Who does something, and through what.
pub(super) fn actor(name: String, surface: String) -> Actor {
    Actor { name, surface }
}

/// The same on behalf of `authority`.
pub(super) fn actor_of(name: String, told: String, authority: Authority) -> Actor {
    actor(name, surface(told, authority))
}

/// Parses the cursor that a watch starts after; without an epoch it is of the current one.
pub(super) fn cursor(cursor: pb::Cursor) -> Cursor {
    Cursor {
        epoch: Some(cursor.epoch).filter(|epoch| !epoch.is_empty()),
        sequence: cursor.sequence,
    }
}

/// Renders a point in time.
pub(super) fn to_timestamp(time: Timestamp) -> prost_types::Timestamp {
    let micros = time.as_micros();
    let nanos = micros.rem_euclid(MICROS_PER_SECOND) * i64::from(NANOS_PER_MICRO);
    prost_types::Timestamp {
        seconds: micros.div_euclid(MICROS_PER_SECOND),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

/// Renders a word: its number, and the word itself where it is outside the vocabulary.
fn to_word<T: WireEnum>(word: Word<T>) -> (i32, String) {
    match word {
        Word::Known(value) => (value.number(), String::new()),
        Word::Other(text) => (0, text),
    }
}

/// Renders a notification.
pub(super) fn to_notification(notification: Notification) -> pb::Notification {
    let (kind, custom_type) = to_word(notification.kind);
    let (priority, custom_priority) = to_word(notification.priority);
    let (state, custom_state) = to_word(notification.state);
    let options = notification.options.into_iter();
    pb::Notification {
        id: notification.id,
        r#type: kind,
        custom_type,
        priority,
        custom_priority,
        state,
        custom_state,
        title: notification.title,
        message: notification.message,
        context: notification.context,
        agent: notification.agent,
        session: notification.session,
        project: notification.project,
        tags: notification.tags,
        options: options.map(to_option).collect(),
        allow_multiple: notification.allow_multiple,
        allow_text: notification.allow_text,
        create_time: notification.create_time.map(to_timestamp),
        update_time: notification.update_time.map(to_timestamp),
        read_time: notification.read_time.map(to_timestamp),
        close_time: notification.close_time.map(to_timestamp),
        closed_by: notification.closed_by,
        expire_time: notification.expire_time.map(to_timestamp),
        default_response: notification.default_response,
        response: notification.response.map(to_response),
        sequence: notification.sequence,
        from_agent_socket: notification.owner.is_some(),
    }
}

fn to_option(choice: Choice) -> pb::Option {
    pb::Option {
        name: choice.name,
        description: choice.description,
    }
}

fn to_response(response: Response) -> pb::Response {
    pb::Response {
        text: response.text,
        options: response.options,
        responder: response.responder,
        surface: response.surface,
        respond_time: response.time.map(to_timestamp),
        is_default: response.is_default,
    }
}

/// Renders a change. A deletion tells no more than the id.
pub(super) fn to_event(change: &Change) -> pb::NotificationEvent {
    let notification = if change.kind == ChangeKind::Deleted {
        pb::Notification {
            id: change.notification.id,
            ..Default::default()
        }
    } else {
        to_notification(change.notification.clone())
    };
    pb::NotificationEvent {
        sequence: change.sequence,
        kind: change.kind.number(),
        time: change.time.map(to_timestamp),
        actor: change.actor.clone(),
        surface: change.surface.clone(),
        notification: Some(notification),
    }
}

/// Renders the head of the journal.
pub(super) fn to_head(bounds: JournalBounds) -> pb::Cursor {
    pb::Cursor {
        epoch: bounds.epoch,
        sequence: bounds.head,
    }
}

#[cfg(test)]
mod tests;
