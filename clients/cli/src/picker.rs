//! Choosing what to answer, and how, on a terminal.

use std::fmt;

use barista_client::pb::notification::v1::{Notification, Option as Choice};
use inquire::{InquireError, MultiSelect, Select, Text};

use crate::failure::{Failure, Result};
use crate::time::Clock;
use crate::{text, words};

/// How many lines a prompt shows at once.
const PAGE: usize = 12;
/// How much of a title one line of a prompt shows.
const TITLE_COLUMNS: usize = 60;

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
    let lines = open
        .into_iter()
        .map(|each| Line::new(each, clock))
        .collect();
    let prompt = Select::new("Respond to", lines).with_page_size(PAGE);
    Ok(given(prompt.prompt())?.map(|line| line.notification))
}

/// Lets the person answer `notification`. `None`: they changed their mind.
pub(crate) fn answer(notification: &Notification) -> Result<Option<Answer>> {
    if !notification.message.is_empty() {
        // The prompt that follows writes to stderr too.
        eprintln!("{}", text::block(&notification.message));
    }
    let question = text::line(&notification.title);
    if notification.options.is_empty() {
        return free_text(&question);
    }
    if notification.allow_multiple {
        return several(&question, notification);
    }
    let mut choices: Vec<Offer> = notification.options.iter().map(Offer::option).collect();
    if notification.allow_text {
        choices.push(Offer::free_text());
    }
    match given(
        Select::new(&question, choices)
            .with_page_size(PAGE)
            .prompt(),
    )? {
        Some(Offer {
            name: Some(name), ..
        }) => Ok(Some(Answer::Text(name))),
        Some(Offer { name: None, .. }) => free_text("Your answer"),
        None => Ok(None),
    }
}

fn several(question: &str, notification: &Notification) -> Result<Option<Answer>> {
    let choices: Vec<Offer> = notification.options.iter().map(Offer::option).collect();
    let chosen = given(
        MultiSelect::new(question, choices)
            .with_page_size(PAGE)
            .prompt(),
    )?;
    let names = chosen.map(|chosen| chosen.into_iter().filter_map(|offer| offer.name).collect());
    match names {
        Some(names) if Vec::is_empty(&names) && notification.allow_text => free_text("Your answer"),
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
    fn new(notification: Notification, clock: &Clock) -> Self {
        let title = text::fit(&text::line(&notification.title), TITLE_COLUMNS);
        let agent = match text::line(&notification.agent).as_str() {
            "" => String::new(),
            agent => format!(", {agent}"),
        };
        let age = clock.age(notification.create_time.as_ref());
        let priority = words::priority(&notification);
        let text = format!("#{} {title} ({priority}{agent}, {age})", notification.id);
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
    fn option(option: &Choice) -> Self {
        let name = text::line(&option.name);
        let text = match text::line(&option.description).as_str() {
            "" => name,
            description => format!("{name}: {description}"),
        };
        Self {
            name: Some(option.name.clone()),
            text,
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
        let offer = Offer::option(&option);
        assert_eq!(offer.to_string(), r"yes\u{1b}[2J: ship it");
        assert_eq!(offer.name.as_deref(), Some("yes\x1b[2J"));
        let notification = Notification {
            id: 12,
            title: "a\x07b".to_owned(),
            agent: "bot".to_owned(),
            create_time: Some(at(-180)),
            ..Default::default()
        };
        let line = Line::new(notification, &noon());
        assert_eq!(line.to_string(), r"#12 a\u{7}b (other, bot, 3m)");
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
