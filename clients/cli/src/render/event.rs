//! One change, in one line.

use barista_client::pb::notification::v1::{ChangeKind, NotificationEvent};

use crate::render::inbox;
use crate::style::{self, paint};
use crate::time::Clock;
use crate::{text, words};

/// `11:57:00     41  responded  #12  Deploy? → approve (ann)`. The title is cut where the line would not fit; the response never is.
pub(crate) fn line(event: &NotificationEvent, clock: &Clock, columns: usize) -> String {
    let time = clock.of_day(event.time.as_ref());
    let kind = event.kind();
    let id = event
        .notification
        .as_ref()
        .map_or(0, |notification| notification.id);
    let id = format!("#{id}");
    let start = format!(
        "{time}  {:>6}  {:<9}  {id:<5}",
        event.sequence,
        words::change(kind)
    );
    let title = event
        .notification
        .as_ref()
        .map_or_else(String::new, |n| text::line(&n.title));
    let end = end(event, kind);
    let room = columns
        .saturating_sub(text::width(&start) + 2 + text::width(&end))
        .max(16);
    format!(
        "{}  {:>6}  {}  {id:<5}  {}{}",
        paint(style::DIM, &time),
        event.sequence,
        paint(style::HEADING, &format!("{:<9}", words::change(kind))),
        text::fit(&title, room),
        paint(style::DIM, &end),
    )
    .trim_end()
    .to_owned()
}

/// What came of it, and who did it.
fn end(event: &NotificationEvent, kind: ChangeKind) -> String {
    let closes = matches!(kind, ChangeKind::Responded | ChangeKind::Expired);
    if let Some(answer) = event
        .notification
        .as_ref()
        .filter(|_| closes)
        .and_then(inbox::answer)
    {
        return format!(" → {answer}");
    }
    match by(event).as_str() {
        "" => String::new(),
        by => format!(" ({by})"),
    }
}

/// `ann, slack`: who, and through what, as far as known.
pub(crate) fn by(event: &NotificationEvent) -> String {
    let known: Vec<String> = [&event.actor, &event.surface]
        .into_iter()
        .filter(|part| !part.is_empty())
        .map(|part| text::line(part))
        .collect();
    known.join(", ")
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use barista_client::pb::notification::v1::{Notification, Response};

    use super::*;
    use crate::time::tests::{at, noon};

    fn event(kind: ChangeKind, title: &str) -> NotificationEvent {
        NotificationEvent {
            sequence: 41,
            kind: kind.into(),
            time: Some(at(-180)),
            actor: "ann".to_owned(),
            surface: "slack".to_owned(),
            notification: Some(Notification {
                id: 12,
                title: title.to_owned(),
                response: Some(Response {
                    text: "approve".to_owned(),
                    responder: "ann".to_owned(),
                    ..Default::default()
                }),
                ..Default::default()
            }),
        }
    }

    fn plain(event: &NotificationEvent, columns: usize) -> String {
        strip_str(&line(event, &noon(), columns)).to_string()
    }

    #[test]
    fn a_response_names_what_and_who() {
        assert_eq!(
            plain(&event(ChangeKind::Responded, "Deploy?"), 80),
            "11:57:00      41  responded  #12    Deploy? → approve (ann)"
        );
    }

    #[test]
    fn other_changes_name_who_and_through_what() {
        assert_eq!(
            plain(&event(ChangeKind::Dismissed, "Deploy?"), 80),
            "11:57:00      41  dismissed  #12    Deploy? (ann, slack)"
        );
    }

    #[test]
    fn a_long_title_makes_room_for_the_response() {
        let line = plain(&event(ChangeKind::Responded, &"word ".repeat(40)), 80);
        assert!(line.ends_with("… → approve (ann)"), "{line}");
        assert!(text::width(&line) <= 80);
    }

    #[test]
    fn a_deletion_has_only_an_id() {
        let tombstone = NotificationEvent {
            sequence: 42,
            kind: ChangeKind::Deleted.into(),
            notification: Some(Notification {
                id: 12,
                ..Default::default()
            }),
            ..Default::default()
        };
        assert_eq!(plain(&tombstone, 80), "-      42  deleted    #12");
    }
}
