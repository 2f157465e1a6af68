//! Choosing what to answer, and how, on a terminal.

use std::fmt;

use barista_client::pb::notification::v1::{Notification, Option as Choice};
use inquire::list_option::ListOption;
use inquire::{InquireError, MultiSelect, Select, Text};

use crate::failure::{Failure, Result};
use crate::output::Output;
use crate::time::Clock;
use crate::{text, words};

/// How many lines a prompt shows at once.
const PAGE: usize = 12;
/// The prompt where the question stands above it.
const YOUR_ANSWER: &str = "Your answer";
/// What a prompt puts before the line of a choice, in columns, and one to spare: a line that ends where the window does is drawn as two by
/// some terminals.
const PREFIX: usize = 7;
/// The narrowest that a title gets, however narrow the terminal is.
const MIN_TITLE: usize = 16;
/// The widest that the name of an agent gets.
const MAX_AGENT: usize = 16;

/// What a person answers.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Free text, or the name of one option.
    Text(String),
    /// The names of several options.
    Options(Vec<String>),
}

/// Lets the person choose one of `open`. `None`: they changed their mind.
pub(crate) fn notification(open: Vec<Notification>, clock: &Clock) -> Result<Option<Notification>> {
    let room = Output::prompt_columns().saturating_sub(PREFIX);
    let lines = open
        .into_iter()
        .map(|each| Line::new(each, clock, room))
        .collect();
    let chosen = |line: ListOption<&Line>| format!("#{}", line.value.notification.id);
    let prompt = Select::new("Respond to", lines)
        .with_page_size(PAGE)
        .with_formatter(&chosen);
    Ok(given(prompt.prompt())?.map(|line| line.notification))
}

/// Lets the person answer `notification`. `None`: they changed their mind.
pub(crate) fn answer(notification: &Notification) -> Result<Option<Answer>> {
    let room = Output::prompt_columns().saturating_sub(PREFIX);
    // The prompt that follows writes to stderr too.
    if !notification.message.is_empty() {
        eprintln!("{}", text::block(&notification.message));
    }
    if !words::is_question(notification) {
        eprintln!("This is no question: nobody waits for a response to it.");
    }
    let mut question = text::line(&notification.title);
    if text::width(&question) > room {
        // A prompt of several lines is drawn anew with each key, and badly where characters are wide.
        eprintln!("{}", text::wrap(&question, room).join("\n"));
        question = YOUR_ANSWER.to_owned();
    }
    if notification.options.is_empty() {
        return free_text(&question);
    }
    if notification.allow_multiple {
        return several(&question, notification, room);
    }
    let mut choices = offers(notification, room);
    if notification.allow_text {
        choices.push(Offer::free_text());
    }
    // The answer stands behind the question once it is given.
    let beside = room.saturating_sub(text::width(&question));
    let chosen = |offer: ListOption<&Offer>| text::fit(&offer.value.text, beside);
    match given(
        Select::new(&question, choices)
            .with_page_size(PAGE)
            .with_formatter(&chosen)
            .prompt(),
    )? {
        Some(Offer {
            name: Some(name), ..
        }) => Ok(Some(Answer::Text(name))),
        Some(Offer { name: None, .. }) => free_text(YOUR_ANSWER),
        None => Ok(None),
    }
}

fn offers(notification: &Notification, room: usize) -> Vec<Offer> {
    let options = notification.options.iter();
    options.map(|option| Offer::option(option, room)).collect()
}

fn several(question: &str, notification: &Notification, room: usize) -> Result<Option<Answer>> {
    let choices = offers(notification, room);
    let beside = room.saturating_sub(text::width(question));
    let list = |offers: &[ListOption<&Offer>]| {
        let texts: Vec<&str> = offers
            .iter()
            .map(|offer| offer.value.text.as_str())
            .collect();
        text::fit(&texts.join(", "), beside)
    };
    let chosen = given(
        MultiSelect::new(question, choices)
            .with_page_size(PAGE)
            .with_help_message("↑↓ to move, space to choose, enter to answer")
            .with_formatter(&list)
            .prompt(),
    )?;
    let names = chosen.map(|chosen| chosen.into_iter().filter_map(|offer| offer.name).collect());
    match names {
        Some(names) if Vec::is_empty(&names) && notification.allow_text => free_text(YOUR_ANSWER),
        // Nothing chosen and nothing to say is no answer.
        Some(names) if Vec::is_empty(&names) => Ok(None),
        names => Ok(names.map(Answer::Options)),
    }
}

fn free_text(question: &str) -> Result<Option<Answer>> {
    let typed = given(Text::new(question).prompt())?;
    Ok(typed.filter(|text| !text.is_empty()).map(Answer::Text))
}

/// What the person gave; `None` for Escape and Ctrl-C.
fn given<T>(prompted: std::result::Result<T, InquireError>) -> Result<Option<T>> {
    match prompted {
        Ok(value) => Ok(Some(value)),
        Err(InquireError::OperationCanceled | InquireError::OperationInterrupted) => Ok(None),
        Err(error) => Err(Failure::unexpected("cannot ask on this terminal", error)),
    }
}

/// A notification in a list to choose from.
struct Line {
    notification: Notification,
    text: String,
}

impl Line {
    /// `room`: how many columns it may take.
    fn new(notification: Notification, clock: &Clock, room: usize) -> Self {
        let agent = match words::agent(&notification).as_str() {
            "" => String::new(),
            agent => format!(", {}", text::fit(agent, MAX_AGENT)),
        };
        let age = clock.age(notification.create_time.as_ref());
        let priority = words::priority(&notification);
        // People look here for what waits for them.
        let kind = if words::is_question(&notification) {
            ""
        } else {
            "no question, "
        };
        let before = format!("#{} ", notification.id);
        let after = format!(" ({kind}{priority}{agent}, {age})");
        let rest = text::width(&before) + text::width(&after);
        let title = text::line(&notification.title);
        let title = text::fit(&title, room.saturating_sub(rest).max(MIN_TITLE));
        let text = format!("{before}{title}{after}");
        Self { notification, text }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An answer in a list to choose from; without a name it is the way to free text.
struct Offer {
    name: Option<String>,
    text: String,
}

impl Offer {
    fn option(option: &Choice, room: usize) -> Self {
        let name = text::line(&option.name);
        let text = match text::line(&option.description).as_str() {
            "" => name,
            description => format!("{name}: {description}"),
        };
        Self {
            name: Some(option.name.clone()),
            text: text::fit(&text, room),
        }
    }

    fn free_text() -> Self {
        Self {
            name: None,
            text: "something else…".to_owned(),
        }
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::tests::{at, noon};

    #[test]
    fn what_is_chosen_from_is_safe_to_show_and_sent_as_it_is() {
        let option = Choice {
            name: "yes\x1b[2J".to_owned(),
            description: "ship\nit".to_owned(),
        };
        let offer = Offer::option(&option, 80);
        assert_eq!(offer.to_string(), r"yes\u{1b}[2J: ship it");
        assert_eq!(offer.name.as_deref(), Some("yes\x1b[2J"));
        let notification = Notification {
            id: 12,
            title: "a\x07b".to_owned(),
            agent: "bot".to_owned(),
            create_time: Some(at(-180)),
            ..Default::default()
        };
        let sandboxed = Notification {
            from_agent_socket: true,
            ..notification.clone()
        };
        let marked = Line::new(sandboxed, &noon(), 80).to_string();
        assert!(marked.contains(", sandbox:bot, "), "{marked}");
        let line = Line::new(notification, &noon(), 80);
        assert_eq!(
            line.to_string(),
            r"#12 a\u{7}b (no question, other, bot, 3m)"
        );
    }

    #[test]
    fn wide_characters_leave_a_choice_on_one_line() {
        for title in ["漢".repeat(100), "👩‍💻❤️".repeat(50), "x".repeat(100)] {
            let option = Choice {
                name: title.clone(),
                description: title.clone(),
            };
            let notification = Notification {
                id: 12,
                title,
                agent: "漢".repeat(40),
                options: vec![option],
                create_time: Some(at(-180)),
                ..Default::default()
            };
            let offer = Offer::option(&notification.options[0], 73).to_string();
            assert!(text::width(&offer) <= 73, "{offer}");
            let line = Line::new(notification, &noon(), 73).to_string();
            assert!(text::width(&line) <= 73, "{line}");
            assert!(line.ends_with("3m)"), "{line}");
        }
    }

    #[test]
    fn escape_is_no_failure() {
        assert!(matches!(
            given::<()>(Err(InquireError::OperationCanceled)),
            Ok(None)
        ));
        assert!(matches!(
            given::<()>(Err(InquireError::OperationInterrupted)),
            Ok(None)
        ));
        assert!(given::<()>(Err(InquireError::NotTTY)).is_err());
    }
}
