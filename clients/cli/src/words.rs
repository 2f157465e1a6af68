//! The words of the vocabulary: what is typed, what is shown, and what the API calls it.

use barista_client::pb::analytics::v1::{BucketSize, Dimension};
use barista_client::pb::notification::v1::{
    ChangeKind, Notification, NotificationState, NotificationType, Priority,
};
use barista_client::pb::trace::v1::ObservationKind;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::text;

/// The word for everything outside a vocabulary: direct tooling may store any.
const OTHER: &str = "other";

/// What stands before a name that nobody has verified, so that it cannot be cut off.
const SANDBOX: &str = "sandbox";

/// Words and what they mean, in the order in which they are shown.
pub(crate) type Words<T> = &'static [(&'static str, T)];

/// Types that a notice may have; a question is asked with `ask`.
pub(crate) const NOTICES: Words<NotificationType> = &[
    ("info", NotificationType::Info),
    ("warning", NotificationType::Warning),
    ("error", NotificationType::Error),
    ("completion", NotificationType::Completion),
];

/// Types that a filter knows.
pub(crate) const TYPES: Words<NotificationType> = &[
    ("question", NotificationType::Question),
    ("info", NotificationType::Info),
    ("warning", NotificationType::Warning),
    ("error", NotificationType::Error),
    ("completion", NotificationType::Completion),
    (OTHER, NotificationType::Unspecified),
];

/// Priorities that a new notification may have.
pub(crate) const PRIORITIES: Words<Priority> = &[
    ("critical", Priority::Critical),
    ("high", Priority::High),
    ("normal", Priority::Normal),
    ("low", Priority::Low),
];

/// Priorities that a filter knows.
pub(crate) const PRIORITY_FILTER: Words<Priority> = &[
    ("critical", Priority::Critical),
    ("high", Priority::High),
    ("normal", Priority::Normal),
    ("low", Priority::Low),
    (OTHER, Priority::Unspecified),
];

/// States that a filter knows.
pub(crate) const STATES: Words<NotificationState> = &[
    ("pending", NotificationState::Pending),
    ("read", NotificationState::Read),
    ("responded", NotificationState::Responded),
    ("dismissed", NotificationState::Dismissed),
    ("cancelled", NotificationState::Cancelled),
    ("expired", NotificationState::Expired),
    (OTHER, NotificationState::Unspecified),
];

const KINDS: Words<ChangeKind> = &[
    ("created", ChangeKind::Created),
    ("read", ChangeKind::Read),
    ("responded", ChangeKind::Responded),
    ("dismissed", ChangeKind::Dismissed),
    ("cancelled", ChangeKind::Cancelled),
    ("expired", ChangeKind::Expired),
    ("updated", ChangeKind::Updated),
    ("deleted", ChangeKind::Deleted),
];

/// What usage can be grouped by.
pub(crate) const DIMENSIONS: Words<Dimension> = &[
    ("model", Dimension::Model),
    ("provider", Dimension::Provider),
    ("agent", Dimension::Agent),
    ("project", Dimension::Project),
    ("session", Dimension::Session),
    ("user", Dimension::User),
    ("prompt", Dimension::Prompt),
];

/// How long the buckets of a chart are.
pub(crate) const BUCKETS: Words<BucketSize> = &[
    ("hour", BucketSize::Hour),
    ("day", BucketSize::Day),
    ("week", BucketSize::Week),
    ("month", BucketSize::Month),
    ("none", BucketSize::Unspecified),
];

const OBSERVATIONS: Words<ObservationKind> = &[
    ("generation", ObservationKind::Generation),
    ("span", ObservationKind::Span),
    ("event", ObservationKind::Event),
    ("agent", ObservationKind::Agent),
    ("tool", ObservationKind::Tool),
    ("chain", ObservationKind::Chain),
    ("retriever", ObservationKind::Retriever),
    ("evaluator", ObservationKind::Evaluator),
    ("embedding", ObservationKind::Embedding),
    ("guardrail", ObservationKind::Guardrail),
];

/// The word for what is grouped by.
pub(crate) fn dimension(dimension: Dimension) -> &'static str {
    name(DIMENSIONS, dimension)
}

/// The word for a kind of observation.
pub(crate) fn observation_kind(kind: ObservationKind) -> &'static str {
    name(OBSERVATIONS, kind)
}

fn name<T: Copy + PartialEq>(words: Words<T>, value: T) -> &'static str {
    let found = words.iter().find(|(_, other)| *other == value);
    found.map_or(OTHER, |(word, _)| word)
}

/// Reads one of `words` from the command line.
pub(crate) fn parser<T>(words: Words<T>) -> impl TypedValueParser<Value = T>
where
    T: Copy + Send + Sync + 'static,
{
    PossibleValuesParser::new(words.iter().map(|(word, _)| *word)).try_map(|typed| {
        let found = words.iter().find(|(word, _)| *word == typed);
        found
            .map(|(_, value)| *value)
            .ok_or_else(|| format!("no such word: {typed}"))
    })
}

/// The type as a word; the stored one where it is outside the vocabulary.
pub(crate) fn kind_of_notification(notification: &Notification) -> String {
    stored(TYPES, notification.r#type(), &notification.custom_type)
}

/// The priority as a word; the stored one where it is outside the vocabulary.
pub(crate) fn priority(notification: &Notification) -> String {
    stored(
        PRIORITY_FILTER,
        notification.priority(),
        &notification.custom_priority,
    )
}

/// The state as a word; the stored one where it is outside the vocabulary.
pub(crate) fn state(notification: &Notification) -> String {
    stored(STATES, notification.state(), &notification.custom_state)
}

/// What happened, as a word.
pub(crate) fn change(kind: ChangeKind) -> &'static str {
    word(KINDS, kind)
}

/// Whether it may still be answered.
pub(crate) fn is_open(notification: &Notification) -> bool {
    matches!(
        notification.state(),
        NotificationState::Pending | NotificationState::Read
    )
}

/// Whether somebody waits for a response to it. Direct tooling asks under types of its own, but then with options.
pub(crate) fn is_question(notification: &Notification) -> bool {
    notification.r#type() == NotificationType::Question || !notification.options.is_empty()
}

fn stored<T: Copy + PartialEq>(words: Words<T>, value: T, custom: &str) -> String {
    if custom.is_empty() {
        word(words, value).to_owned()
    } else {
        text::line(custom)
    }
}

fn word<T: Copy + PartialEq>(words: Words<T>, value: T) -> &'static str {
    words
        .iter()
        .find(|(_, known)| *known == value)
        .map_or(OTHER, |(word, _)| word)
}

/// The agent by its name, with what is known of where it came from. Empty where there is neither.
pub(crate) fn agent(notification: &Notification) -> String {
    match (
        notification.from_agent_socket,
        text::line(&notification.agent),
    ) {
        (false, name) => name,
        (true, name) if name.is_empty() => SANDBOX.to_owned(),
        (true, name) => format!("{SANDBOX}:{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_outside_the_vocabulary_is_shown_as_stored_but_made_safe() {
        let notification = Notification {
            custom_type: "approval\x1b[0m".to_owned(),
            ..Default::default()
        };
        assert_eq!(kind_of_notification(&notification), r"approval\u{1b}[0m");
        assert_eq!(priority(&notification), "other");
    }

    #[test]
    fn what_the_wire_calls_a_value_it_is_called_here() {
        for (word, value) in STATES.iter().filter(|(word, _)| *word != OTHER) {
            assert_eq!(
                format!("NOTIFICATION_STATE_{}", word.to_uppercase()),
                value.as_str_name()
            );
        }
        for (word, value) in TYPES.iter().filter(|(word, _)| *word != OTHER) {
            assert_eq!(
                format!("NOTIFICATION_TYPE_{}", word.to_uppercase()),
                value.as_str_name()
            );
        }
        for (word, value) in PRIORITIES {
            assert_eq!(
                format!("PRIORITY_{}", word.to_uppercase()),
                value.as_str_name()
            );
        }
        for (word, value) in KINDS {
            assert_eq!(
                format!("CHANGE_KIND_{}", word.to_uppercase()),
                value.as_str_name()
            );
        }
    }
}
