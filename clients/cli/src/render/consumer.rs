//! Durable watchers.

use barista_client::pb::consumer::v1::{Consumer, SetAsideEvent};

use crate::style::{self, paint};
use crate::text;
use crate::time::Clock;

/// The heads of the columns of a list. The first is aligned to the left, the numbers to the right.
const HEADS: [&str; 5] = ["NAME", "ACKNOWLEDGED", "LAG", "SET ASIDE", "WATCHED"];
/// How wide the names of the fields are.
const LABEL: usize = 12;
/// The narrowest that a reason gets, however narrow the terminal is.
const MIN_ERROR: usize = 16;

/// The list, with a head; nothing for none. The result ends with a line break.
pub(crate) fn list(consumers: &[Consumer], clock: &Clock) -> String {
    if consumers.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 5]> = consumers
        .iter()
        .map(|consumer| {
            [
                text::line(&consumer.name),
                sequence(consumer).to_string(),
                consumer.lag.to_string(),
                consumer.set_aside_count.to_string(),
                watched(consumer, clock),
            ]
        })
        .collect();
    let width = |column: usize| {
        let widest = rows.iter().map(|row| text::width(&row[column])).max();
        widest.unwrap_or(0).max(HEADS[column].len())
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut lines = paint(
        style::HEADING,
        line(&HEADS.map(str::to_owned), widths).trim_end(),
    );
    lines.push('\n');
    for (row, consumer) in rows.iter().zip(consumers) {
        let line = match trouble(consumer) {
            Some(trouble) => format!("{}  {}", line(row, widths), paint(style::WARNING, trouble)),
            None => line(row, widths).trim_end().to_owned(),
        };
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

fn line(cells: &[String; 5], widths: [usize; 5]) -> String {
    let [name, acknowledged, lag, aside, watched] = cells;
    let [first, second, third, fourth, last] = widths;
    format!(
        "{}  {acknowledged:>second$}  {lag:>third$}  {aside:>fourth$}  {}",
        text::column(name, first),
        text::column(watched, last),
    )
}

/// One consumer with what it has set aside. The result ends with a line break.
pub(crate) fn details(
    consumer: &Consumer,
    events: &[SetAsideEvent],
    clock: &Clock,
    columns: usize,
) -> String {
    let mut lines = vec![paint(style::HEADING, &text::line(&consumer.name))];
    let mut field = |name: &str, value: String| {
        let label = paint(style::DIM, &text::column(name, LABEL));
        lines.push(format!("{label}  {value}"));
    };
    let behind = match consumer.lag {
        0 => "nothing is left to do".to_owned(),
        lag => format!("{} to come", changes(lag)),
    };
    field(
        "acknowledged",
        format!("up to {}, {behind}", sequence(consumer)),
    );
    if let Some(trouble) = trouble(consumer) {
        field("", paint(style::WARNING, trouble));
    }
    field("watched", watched(consumer, clock));
    for (name, time) in [
        ("created", &consumer.create_time),
        ("moved", &consumer.update_time),
    ] {
        if let Some(time) = time {
            field(name, clock.full(time));
        }
    }
    if !events.is_empty() {
        lines.push(format!("\n{}", paint(style::HEADING, "set aside")));
        lines.extend(events.iter().map(|event| aside(event, clock, columns)));
    }
    lines.join("\n") + "\n"
}

fn aside(event: &SetAsideEvent, clock: &Clock, columns: usize) -> String {
    let attempts = match event.attempts {
        1 => "1 attempt".to_owned(),
        more => format!("{more} attempts"),
    };
    let id = format!("#{}", event.notification_id);
    let start = format!(
        "  {:>6}  {id:<5}  {:>4}  {attempts}  ",
        event.sequence,
        clock.age(event.time.as_ref())
    );
    let room = columns.saturating_sub(text::width(&start)).max(MIN_ERROR);
    format!("{start}{}", text::fit(&text::line(&event.error), room))
}

/// Where a consumer goes on, in a sentence.
pub(crate) fn place(consumer: &Consumer) -> String {
    let name = text::line(&consumer.name);
    let sequence = sequence(consumer);
    match consumer.lag {
        0 => format!("{name} goes on after change {sequence}, with the next one."),
        lag => format!(
            "{name} goes on after change {sequence}: {} to come.",
            changes(lag)
        ),
    }
}

fn changes(count: i64) -> String {
    match count {
        1 => "1 change".to_owned(),
        count => format!("{count} changes"),
    }
}

fn sequence(consumer: &Consumer) -> i64 {
    consumer
        .acknowledged
        .as_ref()
        .map_or(0, |cursor| cursor.sequence)
}

/// What keeps a consumer from going on, or soon will.
fn trouble(consumer: &Consumer) -> Option<&'static str> {
    (!consumer.holds_journal)
        .then_some("too far behind, or from before a restored backup: reset it")
}

/// Something about a consumer that a person should deal with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What, in a sentence without its end.
    pub(crate) text: String,
    /// The command that helps.
    pub(crate) remedy: String,
}

/// What a person should know of `consumers`, each with what helps; nothing where they do their work.
pub(crate) fn troubles(consumers: &[Consumer]) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for consumer in consumers {
        let name = text::line(&consumer.name);
        match consumer.lag {
            _ if consumer.holds_journal => {}
            // How far it is behind in another history nobody can say.
            0 => troubles.push(Trouble {
                text: format!("{name} stands where the database was before a backup was restored"),
                remedy: format!("barista consumer reset {name} --since oldest"),
            }),
            lag => troubles.push(Trouble {
                text: format!(
                    "{name} is {} behind, and the journal is no longer kept for it",
                    changes(lag)
                ),
                remedy: format!(
                    "barista watch --consumer {name} goes on there; to leave them out: barista consumer reset {name} --since now"
                ),
            }),
        }
        if consumer.set_aside_count > 0 {
            troubles.push(Trouble {
                text: format!(
                    "{name} has set {} aside",
                    changes(consumer.set_aside_count.into())
                ),
                remedy: format!(
                    "barista consumer show {name} says why; then barista consumer retry or discard"
                ),
            });
        }
    }
    troubles
}

fn watched(consumer: &Consumer, clock: &Clock) -> String {
    match &consumer.connect_time {
        Some(time) => format!("for {}", clock.age(Some(time)).replace("now", "0s")),
        None => "no".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use anstream::adapter::strip_str;
    use barista_client::pb::notification::v1::Cursor;

    use super::*;
    use crate::time::tests::{at, noon};

    fn consumer(name: &str, sequence: i64, lag: i64) -> Consumer {
        Consumer {
            name: name.to_owned(),
            acknowledged: Some(Cursor {
                epoch: "e".to_owned(),
                sequence,
            }),
            lag,
            create_time: Some(at(-3_600)),
            update_time: Some(at(-60)),
            holds_journal: true,
            ..Consumer::default()
        }
    }

    #[test]
    fn a_list_has_its_numbers_to_the_right() {
        let mut bell = consumer("bell", 41, 0);
        bell.connect_time = Some(at(-120));
        bell.set_aside_count = 2;
        let mut slack = consumer("slack-bridge", 3, 38_000);
        slack.holds_journal = false;
        let expected = "\
NAME          ACKNOWLEDGED    LAG  SET ASIDE  WATCHED
bell                    41      0          2  for 2m
slack-bridge             3  38000          0  no       too far behind, or from before a restored backup: reset it
";
        let listed = list(&[bell, slack], &noon());
        assert_eq!(strip_str(&listed).to_string(), expected);
        assert_eq!(list(&[], &noon()), "");
    }

    #[test]
    fn a_consumer_in_trouble_is_told_with_what_helps() {
        let mut bell = consumer("bell", 41, 0);
        assert_eq!(troubles(&[bell.clone()]), []);
        bell.set_aside_count = 2;
        let mut slack = consumer("slack-bridge", 3, 38_000);
        slack.holds_journal = false;
        let mut old = consumer("old", 3, 0);
        old.holds_journal = false;
        let told = troubles(&[bell, slack, old]);
        let texts: Vec<&str> = told.iter().map(|trouble| &*trouble.text).collect();
        let expected = [
            "bell has set 2 changes aside",
            "slack-bridge is 38000 changes behind, and the journal is no longer kept for it",
            "old stands where the database was before a backup was restored",
        ];
        assert_eq!(texts, expected);
        let reset = "barista consumer reset old --since oldest";
        assert_eq!(told[2].remedy, reset);
    }

    #[test]
    fn details_end_with_what_is_set_aside() {
        let events = [SetAsideEvent {
            sequence: 7,
            notification_id: 3,
            attempts: 6,
            error: "exit status: 1\x1b[2J and a long story about why".to_owned(),
            time: Some(at(-180)),
        }];
        let expected = "\
bell
acknowledged  up to 41, 1 change to come
watched       no
created       2026-03-01 11:00:00 UTC (1h ago)
moved         2026-03-01 11:59:00 UTC (1m ago)

set aside
       7  #3       3m  6 attempts  exit status: 1\\u{1b}[2J …
";
        let shown = details(&consumer("bell", 41, 1), &events, &noon(), 60);
        assert_eq!(strip_str(&shown).to_string(), expected);
    }
}
