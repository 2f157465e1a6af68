//! What is done with bytes from the socket before anything is stored, as functions that a fuzzer can call with any bytes.
//!
//! Each checks what must hold whatever the bytes are, and panics where it does not. The tests below call them with bytes drawn at random;
//! with the feature `fuzzing` so can a program of cargo-fuzz or of AFL, for as long as it likes.

use std::collections::BTreeSet;
use std::time::Duration;

use prost::Message;

use super::field;
use super::page_token::Scope;
use super::pb::consumer::v1 as consumer;
use super::pb::notification::v1 as pb;
use crate::domain::authority::Authority;
use crate::domain::clock::Timestamp;
use crate::domain::consumer::validate_name;
use crate::domain::error::{Error, Result};
use crate::domain::notification::draft::{
    MAX_CONTEXT, MAX_MESSAGE, MAX_OPTIONS, MAX_TAGS, MAX_TITLE, MAX_TTL, NewNotification,
};
use crate::domain::notification::filter::PageKey;

/// Something that takes any bytes.
pub type Target = fn(&[u8]);

/// The targets, with the names that a fuzzer gives their corpora.
pub const TARGETS: [(&str, Target); 4] = [
    ("creation", creation),
    ("filter", filter),
    ("page_token", page_token),
    ("others", others),
];

/// The present of all targets, in microseconds since 1970.
const NOW: i64 = 1_760_000_000_000_000;

/// A notification to be created: what is accepted keeps the limits.
pub fn creation(bytes: &[u8]) {
    let Ok(request) = pb::CreateNotificationRequest::decode(bytes) else {
        return;
    };
    let now = Timestamp::from_micros(NOW).expect("in range");
    let valid = field::draft(request, Authority::Person).and_then(|draft| draft.validate(now));
    if let Some(new) = accepted(valid) {
        keeps_the_limits(&new, now);
    }
}

fn keeps_the_limits(new: &NewNotification, now: Timestamp) {
    let draft = new.draft();
    assert!(!draft.title.trim().is_empty() && draft.title.chars().count() <= MAX_TITLE);
    assert!(!draft.title.chars().any(char::is_control));
    assert!(draft.message.len() <= MAX_MESSAGE && draft.context.len() <= MAX_CONTEXT);
    assert!(draft.tags.len() <= MAX_TAGS && draft.options.len() <= MAX_OPTIONS);
    let names: BTreeSet<&str> = draft.options.iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names.len(), draft.options.len(), "two options of one name");
    for text in [&draft.message, &draft.context, &draft.default_response] {
        assert!(!text.contains('\0'));
    }
    if !draft.context.is_empty() {
        assert!(draft.context.trim_start().starts_with('{'), "no object");
    }
    if let Some(expiry) = new.expire_time() {
        assert!(expiry > now && expiry.since(now) <= MAX_TTL);
    }
}

/// A list to be read: equal selections have equal tokens, and a token leads back to its place and to no other list.
pub fn filter(bytes: &[u8]) {
    let Ok(request) = pb::ListNotificationsRequest::decode(bytes) else {
        return;
    };
    let order = accepted(field::order(request.order));
    accepted(field::page_size(request.page_size, 50, 1_000));
    let filter = accepted(field::filter(request.filter, Authority::Person));
    let (Some(order), Some(filter)) = (order, filter) else {
        return;
    };
    let scope = Scope::notifications(&filter, order);
    accepted(scope.decode(&request.page_token));
    let key = PageKey {
        rank: bytes.first().copied().unwrap_or_default(),
        id: i64::try_from(bytes.len()).expect("a length"),
    };
    let token = scope.encode(Some(key));
    let found = scope.decode(&token).expect("its own token");
    assert_eq!(found, Some(key));
    assert!(Scope::history(key.id).decode(&token).is_err());
}

/// A page token: only the one text that leads to a place is taken for it.
pub fn page_token(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for scope in [
        Scope::consumers(),
        Scope::history(1),
        Scope::set_aside("bell"),
    ] {
        if let Some(Some(key)) = accepted(scope.decode(&text)) {
            assert_eq!(scope.encode(Some(key)), text, "two tokens for one place");
        }
    }
}

/// Everything else that is parsed: answers, watches, waits, consumers.
pub fn others(bytes: &[u8]) {
    if let Ok(request) = pb::RespondNotificationRequest::decode(bytes) {
        accepted(field::request_id(&request.request_id));
        let actor = field::actor(request.responder, request.surface);
        accepted(actor.validate("responder"));
    }
    if let Ok(request) = pb::WatchNotificationsRequest::decode(bytes) {
        accepted(field::change_kinds(&request.kinds));
        accepted(field::filter(request.filter, Authority::Person));
        request.after.map(field::cursor);
    }
    if let Ok(request) = pb::WaitNotificationRequest::decode(bytes)
        && let Some(timeout) = request.timeout
    {
        let span = accepted(field::duration("timeout", timeout));
        assert!(span.is_none_or(|span| span <= Duration::from_secs(315_576_000_000 + 1)));
    }
    if let Ok(request) = consumer::CreateConsumerRequest::decode(bytes) {
        accepted(field::request_id(&request.request_id));
        accepted(validate_name("name", &request.name));
    }
}

/// The value of what was accepted. What was refused must name a field and a rule: nothing else can be wrong with a request.
fn accepted<T>(outcome: Result<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(
            Error::InvalidField { field, rule } | Error::ResponseNotAllowed { field, rule, .. },
        ) => {
            assert!(!field.is_empty() && !rule.is_empty());
            None
        }
        Err(other) => panic!("not about the request: {other:?}"),
    }
}

#[cfg(test)]
mod tests;
