//! Notifications as a list, grouped by priority.

use anstyle::Style;
use barista_client::pb::notification::v1::{Notification, NotificationType, Priority};

use crate::output::Window;
use crate::style::{self, paint};
use crate::time::Clock;
use crate::{text, words};

/// The widest that a column other than the title gets.
const MAX_COLUMN: usize = 16;
/// The narrowest that the title gets, however narrow the terminal is.
const MIN_TITLE: usize = 16;
/// Between two columns.
const GAP: &str = "  ";

/// The list, in the order given, with a heading where the priority changes. The result ends with a line break; no notifications, no text.
///
/// The state gets a column of its own as soon as one of them is closed; before that a dot marks what nobody has looked at.
pub(crate) fn render(notifications: &[Notification], clock: &Clock, columns: usize) -> String {
    blocks(notifications, clock, columns).concat()
}

/// As many of the first notifications as fit `window`, as [`render`] shows them, and how many those are. One that fits only in part is left
/// out, unless it is the first.
pub(crate) fn fitting(
    notifications: &[Notification],
    clock: &Clock,
    window: Window,
) -> (String, usize) {
    let mut text = String::new();
    let mut left = window.rows;
    let mut shown = 0;
    for block in blocks(notifications, clock, window.columns) {
        let lines = block.lines().count();
        if lines > left {
            if shown == 0 {
                text.extend(block.split_inclusive('\n').take(left));
                shown = usize::from(left > 1);
            }
            break;
        }
        text.push_str(&block);
        left -= lines;
        shown += 1;
    }
    (text, shown)
}

/// The lines of each notification, with the heading before the first of a priority.
fn blocks(notifications: &[Notification], clock: &Clock, columns: usize) -> Vec<String> {
    let rows: Vec<Row> = notifications
        .iter()
        .map(|each| Row::new(each, clock))
        .collect();
    let layout = Layout::new(&rows, columns);
    let mut group = None;
    let block = |row: &Row<'_>| {
        let mut text = String::new();
        let priority = row.notification.priority();
        if group != Some(priority) {
            group = Some(priority);
            text.push_str(&format!("{}\n", heading(priority)));
        }
        layout.push(&mut text, row, clock);
        text
    };
    rows.iter().map(block).collect()
}

fn heading(priority: Priority) -> String {
    match priority {
        Priority::Critical => paint(style::ALARM, "critical"),
        Priority::High => paint(style::WARNING, "high"),
        Priority::Normal => paint(style::HEADING, "normal"),
        Priority::Low => paint(style::HEADING, "low"),
        Priority::Unspecified => paint(style::HEADING, "other"),
    }
}

/// The answers that a notification takes, in one line: `approve | deny | any text`.
pub(crate) fn choices(notification: &Notification) -> String {
    let mut choices: Vec<String> = notification
        .options
        .iter()
        .map(|option| text::line(&option.name))
        .collect();
    if notification.allow_text || choices.is_empty() {
        choices.push("any text".to_owned());
    }
    choices.join(if notification.allow_multiple {
        " + "
    } else {
        " | "
    })
}

/// The response in one line with who gave it: `approve (ann)`. `None` where there is none.
pub(crate) fn answer(notification: &Notification) -> Option<String> {
    let response = notification.response.as_ref()?;
    let text = text::line(&response.text);
    Some(match (response.is_default, response.responder.as_str()) {
        (true, _) => format!("{text} (default)"),
        (false, "") => text,
        (false, responder) => format!("{text} ({})", text::line(responder)),
    })
}

/// The cells of one notification.
struct Row<'a> {
    notification: &'a Notification,
    id: String,
    age: String,
    kind: String,
    state: String,
    agent: String,
    title: String,
}

impl<'a> Row<'a> {
    fn new(notification: &'a Notification, clock: &Clock) -> Self {
        Self {
            notification,
            id: notification.id.to_string(),
            age: clock.age(notification.create_time.as_ref()),
            kind: words::kind_of_notification(notification),
            state: words::state(notification),
            agent: words::agent(notification),
            title: text::line(&notification.title),
        }
    }
}

/// How wide each column is.
struct Layout {
    id: usize,
    age: usize,
    kind: usize,
    state: Option<usize>,
    agent: usize,
    title: usize,
}

impl Layout {
    fn new(rows: &[Row<'_>], columns: usize) -> Self {
        let widest = |cell: for<'r> fn(&'r Row<'_>) -> &'r str| {
            rows.iter()
                .map(|row| text::width(cell(row)))
                .max()
                .unwrap_or(0)
        };
        let any_closed = rows.iter().any(|row| !words::is_open(row.notification));
        let mut layout = Self {
            id: widest(|row| &row.id),
            age: widest(|row| &row.age),
            kind: widest(|row| &row.kind).min(MAX_COLUMN),
            state: any_closed.then(|| widest(|row| &row.state).min(MAX_COLUMN)),
            agent: widest(|row| &row.agent).min(MAX_COLUMN),
            title: 0,
        };
        layout.title = columns.saturating_sub(layout.before_title()).max(MIN_TITLE);
        layout
    }

    /// Where the title's column starts.
    fn before_title(&self) -> usize {
        let optional = |width: usize| if width == 0 { 0 } else { width + GAP.len() };
        GAP.len()
            + [self.id, self.age, self.kind]
                .map(|width| width + GAP.len())
                .iter()
                .sum::<usize>()
            + optional(self.state.unwrap_or(0))
            + optional(self.agent)
    }

    fn push(&self, text: &mut String, row: &Row<'_>, clock: &Clock) {
        let unread = self.state.is_none() && row.state == "pending";
        let mark = if unread { "• " } else { GAP };
        text.push_str(&format!(
            "{mark}{:>id$}{GAP}{}{GAP}",
            row.id,
            paint(style::DIM, &format!("{:>age$}", row.age, age = self.age)),
            id = self.id,
        ));
        let kind = text::column(&row.kind, self.kind);
        text.push_str(&format!(
            "{}{GAP}",
            paint(kind_style(row.notification), &kind)
        ));
        if let Some(width) = self.state {
            text.push_str(&format!("{}{GAP}", text::column(&row.state, width)));
        }
        if self.agent > 0 {
            text.push_str(&format!("{}{GAP}", text::column(&row.agent, self.agent)));
        }
        text.push_str(&text::fit(&row.title, self.title));
        text.push('\n');
        for line in self.beneath(row, clock) {
            text.push_str(&" ".repeat(self.before_title()));
            text.push_str(&line);
            text.push('\n');
        }
    }

    /// What stands under the title: how to answer, and until when; or the answer.
    fn beneath(&self, row: &Row<'_>, clock: &Clock) -> Vec<String> {
        let notification = row.notification;
        let mut lines = Vec::new();
        if let Some(answer) = answer(notification) {
            lines.push(paint(
                style::GOOD,
                &text::fit(&format!("→ {answer}"), self.title),
            ));
        } else if words::is_open(notification) {
            if words::is_question(notification) {
                let choices = text::fit(&choices(notification), self.title);
                lines.push(paint(style::CHOICE, &choices));
            }
            if let Some(time) = &notification.expire_time {
                let expiry = format!("expires {}", clock.remaining(time));
                let default = text::line(&notification.default_response);
                let expiry = match default.as_str() {
                    "" => expiry,
                    default => format!("{expiry}, then counts as {default}"),
                };
                lines.push(paint(style::DIM, &text::fit(&expiry, self.title)));
            }
        }
        lines
    }
}

/// The colour of a type.
pub(crate) fn kind_style(notification: &Notification) -> Style {
    match notification.r#type() {
        NotificationType::Question => style::CHOICE,
        NotificationType::Warning => style::WARNING,
        NotificationType::Error => style::ALARM,
        NotificationType::Completion => style::GOOD,
        NotificationType::Info | NotificationType::Unspecified => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use barista_client::pb::notification::v1::{NotificationState, Option as Choice, Response};

    use super::*;
    use crate::time::tests::{at, noon};

    fn question(id: i64, priority: Priority, title: &str) -> Notification {
        Notification {
            id,
            r#type: NotificationType::Question.into(),
            priority: priority.into(),
            state: NotificationState::Pending.into(),
            title: title.to_owned(),
            agent: "deploy-bot".to_owned(),
            create_time: Some(at(-180)),
            options: ["approve", "deny"]
                .map(|name| Choice {
                    name: name.to_owned(),
                    ..Default::default()
                })
                .to_vec(),
            ..Default::default()
        }
    }

    fn plain(notifications: &[Notification], columns: usize) -> String {
        strip_str(&render(notifications, &noon(), columns)).to_string()
    }

    #[test]
    fn an_inbox_of_eighty_columns() {
        let mut first = question(
            12,
            Priority::Critical,
            "Deploy version 4.2.0 of the billing service to production now?",
        );
        first.expire_time = Some(at(57 * 60));
        first.default_response = "deny".to_owned();
        let mut second = question(7, Priority::Normal, "Install pandas 2.0?");
        second.state = NotificationState::Read.into();
        second.allow_text = true;
        second.agent = "an-agent-with-a-very-long-name".to_owned();
        let third = Notification {
            id: 103,
            r#type: NotificationType::Completion.into(),
            priority: Priority::Normal.into(),
            state: NotificationState::Pending.into(),
            title: "cargo test passed".to_owned(),
            agent: "ann".to_owned(),
            from_agent_socket: true,
            create_time: Some(at(-7_200)),
            ..Default::default()
        };
        let expected = "\
critical
•  12  3m  question    deploy-bot        Deploy version 4.2.0 of the billing se…
                                         approve | deny
                                         expires in 57m, then counts as deny
normal
    7  3m  question    an-agent-with-a…  Install pandas 2.0?
                                         approve | deny | any text
• 103  2h  completion  sandbox:ann       cargo test passed
";
        let rendered = plain(&[first, second, third], 80);
        assert_eq!(rendered, expected);
        assert!(rendered.lines().all(|line| text::width(line) <= 80));
    }

    #[test]
    fn closed_notifications_show_their_state_and_answer() {
        let mut closed = question(12, Priority::High, "Deploy?");
        closed.state = NotificationState::Responded.into();
        closed.response = Some(Response {
            text: "approve".to_owned(),
            responder: "ann".to_owned(),
            ..Default::default()
        });
        let expected = "\
high
  12  3m  question  responded  deploy-bot  Deploy?
                                           → approve (ann)
";
        assert_eq!(plain(&[closed], 80), expected);
    }

    #[test]
    fn a_window_shows_the_most_urgent_that_fit_as_a_whole() {
        let all = [
            question(1, Priority::High, "First?"),
            question(2, Priority::High, "Second?"),
            question(3, Priority::Low, "Third?"),
        ];
        let fit = |rows| {
            let window = Window { columns: 80, rows };
            let (text, shown) = fitting(&all, &noon(), window);
            assert!(text.lines().count() <= rows, "{text}");
            (text, shown)
        };
        assert_eq!(fit(8), (render(&all, &noon(), 80), 3));
        assert_eq!(fit(7).1, 2);
        assert_eq!(fit(4).1, 1, "half of the second is left out");
        assert!(fit(2).0.contains("First?"));
        assert_eq!(fit(1).1, 0);
    }

    #[test]
    fn a_title_cannot_draw_on_the_terminal() {
        let rendered = render(
            &[question(1, Priority::Low, "\x1b[2Jhi\n1 fake row")],
            &noon(),
            80,
        );
        assert!(!strip_str(&rendered).to_string().contains('\x1b'));
        assert_eq!(rendered.matches("[2J").count(), 1, "{rendered:?}");
        assert!(rendered.contains(r"\u{1b}[2Jhi 1 fake row"));
    }

    #[test]
    fn a_wide_script_is_cut_by_columns() {
        let rendered = plain(&[question(1, Priority::Low, &"漢".repeat(60))], 60);
        assert!(
            rendered.lines().all(|line| text::width(line) <= 60),
            "{rendered}"
        );
    }

    #[test]
    fn nothing_is_cut_where_there_is_no_terminal() {
        let long = "x".repeat(300);
        assert!(plain(&[question(1, Priority::Low, &long)], usize::MAX).contains(&long));
    }
}
