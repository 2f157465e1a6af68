//! One notification with all that is known about it.

use barista_client::pb::notification::v1::{Notification, NotificationEvent};

use crate::render::{event, inbox};
use crate::style::{self, paint};
use crate::time::Clock;
use crate::{text, words};

/// The widest that text gets, however wide the terminal is: longer lines are hard to read.
const MAX_TEXT: usize = 100;
/// How wide the names of the fields are.
const LABEL: usize = 9;

/// Title, message, fields, context and history. `history` is empty where nothing was recorded.
pub(crate) fn render(
    notification: &Notification,
    history: &[NotificationEvent],
    clock: &Clock,
    columns: usize,
) -> String {
    let mut page = Page {
        text: String::new(),
        columns: columns.min(MAX_TEXT),
    };
    page.title(notification);
    page.message(&notification.message);
    page.options(notification);
    page.origin(notification);
    page.times(notification, clock);
    page.response(notification, clock);
    page.context(&notification.context);
    page.history(history, clock);
    page.text
}

struct Page {
    text: String,
    columns: usize,
}

impl Page {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A field with its name; one without a value is left out.
    fn field(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            return;
        }
        let room = self.columns.saturating_sub(LABEL + 2);
        for (number, line) in text::wrap(value, room).iter().enumerate() {
            let label = if number == 0 { name } else { "" };
            let label = paint(style::DIM, &text::column(label, LABEL));
            self.line(&format!("{label}  {line}"));
        }
    }

    fn title(&mut self, notification: &Notification) {
        let head = format!("#{}  {}", notification.id, text::line(&notification.title));
        for line in text::wrap(&head, self.columns) {
            self.line(&paint(style::HEADING, &line));
        }
        let kind = words::kind_of_notification(notification);
        let kind = paint(inbox::kind_style(notification), &kind);
        let (priority, state) = (words::priority(notification), words::state(notification));
        self.line(&format!("{kind}, {priority} priority, {state}"));
        self.line("");
    }

    fn message(&mut self, message: &str) {
        if message.is_empty() {
            return;
        }
        for line in text::wrap(&text::block(message), self.columns.saturating_sub(2)) {
            self.line(&format!("  {line}"));
        }
        self.line("");
    }

    fn options(&mut self, notification: &Notification) {
        let widest = notification
            .options
            .iter()
            .map(|option| text::width(&option.name))
            .max();
        let widest = widest.unwrap_or(0).min(24);
        for (number, option) in notification.options.iter().enumerate() {
            let name = text::line(&option.name);
            let gap = " ".repeat(widest.saturating_sub(text::width(&name)));
            let name = paint(style::CHOICE, &name);
            let label = if number == 0 { "options" } else { "" };
            let label = paint(style::DIM, &text::column(label, LABEL));
            let description = text::line(&option.description);
            self.line(&format!("{label}  {name}{gap}  {description}"));
        }
        if notification.allow_multiple {
            self.field("", "several may be chosen");
        }
        if notification.allow_text && !notification.options.is_empty() {
            self.field("", "or any text");
        }
    }

    fn origin(&mut self, notification: &Notification) {
        self.field("agent", &text::line(&notification.agent));
        if notification.from_agent_socket {
            self.field(
                "",
                "from a sandbox: who it is and what it says is unverified",
            );
        }
        self.field("session", &text::line(&notification.session));
        self.field("project", &text::line(&notification.project));
        self.field("tags", &text::line(&notification.tags.join(", ")));
    }

    fn times(&mut self, notification: &Notification, clock: &Clock) {
        let full = |time: &Option<prost_types::Timestamp>| {
            time.as_ref()
                .map_or_else(String::new, |time| clock.full(time))
        };
        self.field("created", &full(&notification.create_time));
        self.field("read", &full(&notification.read_time));
        let mut expiry = full(&notification.expire_time);
        if !expiry.is_empty() && !notification.default_response.is_empty() {
            expiry = format!(
                "{expiry}, then {}",
                text::line(&notification.default_response)
            );
        }
        self.field("expires", &expiry);
        let mut closed = full(&notification.close_time);
        if !notification.closed_by.is_empty() {
            closed = format!("{closed} by {}", text::line(&notification.closed_by));
        }
        self.field("closed", closed.trim_start());
    }

    fn response(&mut self, notification: &Notification, clock: &Clock) {
        let Some(response) = &notification.response else {
            return;
        };
        self.field("response", &text::block(&response.text));
        if response.is_default {
            self.field("", "the default that its asker set: nobody responded");
            return;
        }
        let mut about = String::new();
        if !response.responder.is_empty() {
            about.push_str(&format!("by {} ", text::line(&response.responder)));
        }
        if !response.surface.is_empty() {
            about.push_str(&format!("through {} ", text::line(&response.surface)));
        }
        if let Some(time) = &response.respond_time {
            about.push_str(&format!("at {}", clock.full(time)));
        }
        self.field("", about.trim_end());
    }

    /// The context, laid out as JSON where it is JSON, and as stored where direct tooling stored something else.
    fn context(&mut self, context: &str) {
        if context.is_empty() {
            return;
        }
        let pretty = serde_json::from_str::<serde_json::Value>(context)
            .and_then(|value| serde_json::to_string_pretty(&value))
            .unwrap_or_else(|_not_json| context.to_owned());
        self.line("");
        self.line(&paint(style::DIM, "context"));
        for line in text::block(&pretty).lines() {
            self.line(&format!("  {line}"));
        }
    }

    fn history(&mut self, history: &[NotificationEvent], clock: &Clock) {
        if history.is_empty() {
            return;
        }
        self.line("");
        self.line(&paint(style::DIM, "history"));
        for event in history {
            let by = match event::by(event).as_str() {
                "" => String::new(),
                by => format!("by {by}"),
            };
            let time = event
                .time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |time| clock.full(time));
            let kind = words::change(event.kind());
            self.line(&format!("  {:>6}  {kind:<9}  {time}  {by}", event.sequence));
        }
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use barista_client::pb::notification::v1::{
        ChangeKind, NotificationState, NotificationType, Option as Choice, Priority, Response,
    };

    use super::*;
    use crate::time::tests::{at, noon};

    fn answered() -> Notification {
        Notification {
            id: 12,
            r#type: NotificationType::Question.into(),
            priority: Priority::High.into(),
            state: NotificationState::Responded.into(),
            title: "Deploy to production?".to_owned(),
            message: "All 412 tests pass. The migration takes about a minute, during which the \
                      service answers slowly.\n\n\tdiff: 3 files"
                .to_owned(),
            context: r#"{"commit":"abc","files":[1,2]}"#.to_owned(),
            agent: "deploy-bot".to_owned(),
            tags: vec!["release".to_owned(), "eu".to_owned()],
            options: vec![
                Choice {
                    name: "approve".to_owned(),
                    description: "ship it now".to_owned(),
                },
                Choice {
                    name: "deny".to_owned(),
                    description: String::new(),
                },
            ],
            allow_text: true,
            create_time: Some(at(-180)),
            expire_time: Some(at(3_600)),
            default_response: "deny".to_owned(),
            close_time: Some(at(-60)),
            closed_by: "ann".to_owned(),
            response: Some(Response {
                text: "approve".to_owned(),
                responder: "ann".to_owned(),
                surface: "slack".to_owned(),
                respond_time: Some(at(-60)),
                ..Default::default()
            }),
            ..Default::default()
        }
    }

    #[test]
    fn a_page_of_eighty_columns() {
        let history = [
            (40, ChangeKind::Created, "deploy-bot", -180),
            (41, ChangeKind::Responded, "ann", -60),
        ]
        .map(|(sequence, kind, actor, time)| NotificationEvent {
            sequence,
            kind: kind.into(),
            time: Some(at(time)),
            actor: actor.to_owned(),
            ..Default::default()
        });
        let expected = "\
#12  Deploy to production?
question, high priority, responded

  All 412 tests pass. The migration takes about a minute, during which the
  service answers slowly.

      diff: 3 files

options    approve  ship it now
           deny
           or any text
agent      deploy-bot
tags       release, eu
created    2026-03-01 11:57:00 UTC (3m ago)
expires    2026-03-01 13:00:00 UTC (in 1h), then deny
closed     2026-03-01 11:59:00 UTC (1m ago) by ann
response   approve
           by ann through slack at 2026-03-01 11:59:00 UTC (1m ago)

context
  {
    \"commit\": \"abc\",
    \"files\": [
      1,
      2
    ]
  }

history
      40  created    2026-03-01 11:57:00 UTC (3m ago)  by deploy-bot
      41  responded  2026-03-01 11:59:00 UTC (1m ago)  by ann
";
        let rendered = render(&answered(), &history, &noon(), 80);
        assert_eq!(strip_str(&rendered).to_string(), expected);
    }

    #[test]
    fn nothing_from_an_agent_reaches_the_terminal_unescaped() {
        let evil = "\x1b]0;x\x07".to_owned();
        let notification = Notification {
            title: evil.clone(),
            message: evil.clone(),
            context: evil.clone(),
            agent: evil.clone(),
            session: evil.clone(),
            project: evil.clone(),
            tags: vec![evil.clone()],
            custom_type: evil.clone(),
            custom_priority: evil.clone(),
            custom_state: evil.clone(),
            closed_by: evil.clone(),
            default_response: evil.clone(),
            expire_time: Some(at(1)),
            options: vec![Choice {
                name: evil.clone(),
                description: evil.clone(),
            }],
            response: Some(Response {
                text: evil.clone(),
                responder: evil.clone(),
                surface: evil.clone(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let event = NotificationEvent {
            actor: evil.clone(),
            surface: evil,
            notification: Some(notification.clone()),
            ..Default::default()
        };
        let rendered = render(&notification, &[event], &noon(), 80);
        assert!(
            !rendered.contains("\x1b]") && !rendered.contains('\x07'),
            "{rendered:?}"
        );
    }
}
