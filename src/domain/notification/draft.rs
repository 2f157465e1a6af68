//! What may be created.

use std::time::Duration;

use uuid::Uuid;

use super::super::authority::Owner;
use super::super::clock::Timestamp;
use super::super::error::{Error, Result};
use super::response;
use super::{Choice, NotificationType, Priority};

/// The most characters of a title.
pub const MAX_TITLE: usize = 256;
/// The most bytes of a message, and of a response.
pub const MAX_MESSAGE: usize = 64 * 1024;
/// The most bytes of a context.
pub const MAX_CONTEXT: usize = 256 * 1024;
/// The most options.
pub const MAX_OPTIONS: usize = 16;
/// The most tags.
pub const MAX_TAGS: usize = 16;
/// The most characters of an option's name, a tag, a surface.
pub const MAX_LABEL: usize = 64;
/// The most characters of an option's description, a project.
pub const MAX_PHRASE: usize = 256;
/// The most characters of the name of an agent, a session, a person.
pub const MAX_NAME: usize = 128;
/// The most notifications in one batch.
pub const MAX_BATCH: usize = 1_000;
/// The longest that a notification may stay open before it expires.
pub const MAX_TTL: Duration = Duration::from_secs(10 * 366 * 24 * 60 * 60);

/// When a new notification expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiration {
    /// At this time.
    At(Timestamp),
    /// This long after its creation.
    After(Duration),
}

/// What somebody wants to create, not yet checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Makes a repetition safe.
    pub request_id: Option<Uuid>,
    /// What kind of thing it is.
    pub kind: NotificationType,
    /// How urgent it is.
    pub priority: Priority,
    /// One line.
    pub title: String,
    /// The whole text.
    pub message: String,
    /// A JSON object as text; empty for none.
    pub context: String,
    /// The agent it comes from.
    pub agent: String,
    /// The agent's session.
    pub session: String,
    /// The project it is about.
    pub project: String,
    /// Free labels.
    pub tags: Vec<String>,
    /// The answers offered.
    pub options: Vec<Choice>,
    /// Whether several options may be chosen.
    pub allow_multiple: bool,
    /// Whether free text is taken although there are options.
    pub allow_text: bool,
    /// When it expires.
    pub expiration: Option<Expiration>,
    /// The response that it takes then; empty for none.
    pub default_response: String,
    /// Through what it is created.
    pub surface: String,
    /// The agent that it belongs to, where its creator has no more authority than that.
    pub owner: Option<Owner>,
}

/// A draft that keeps every rule, with its times.
#[derive(Debug, Clone, PartialEq)]
pub struct NewNotification {
    draft: Draft,
    create_time: Timestamp,
    expire_time: Option<Timestamp>,
}

impl NewNotification {
    /// What was asked for.
    #[must_use]
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// When it is created.
    #[must_use]
    pub fn create_time(&self) -> Timestamp {
        self.create_time
    }

    /// When it expires.
    #[must_use]
    pub fn expire_time(&self) -> Option<Timestamp> {
        self.expire_time
    }

    /// Checks what holds only for one that does not exist yet: a repetition of an earlier request may come after its time has passed. The store calls
    /// it when it knows that this is none.
    ///
    /// # Errors
    ///
    /// `InvalidField`.
    pub fn check_new(&self) -> Result<()> {
        if self
            .expire_time
            .is_some_and(|time| time <= self.create_time)
        {
            return Err(expired());
        }
        Ok(())
    }
}

impl Draft {
    /// About how many bytes it brings.
    #[must_use]
    pub fn size(&self) -> usize {
        self.title.len()
            + self.message.len()
            + self.context.len()
            + self.default_response.len()
            + 256
    }

    /// Checks every rule of a new notification, but for [`NewNotification::check_new`] where it may be a repetition.
    ///
    /// # Errors
    ///
    /// `InvalidField` or `ResponseNotAllowed`, for the first field that breaks a rule.
    pub fn validate(self, now: Timestamp) -> Result<NewNotification> {
        line("title", &self.title, 1, MAX_TITLE)?;
        text("message", &self.message, MAX_MESSAGE)?;
        context(&self.context)?;
        line("agent", &self.agent, 0, MAX_NAME)?;
        line("session", &self.session, 0, MAX_NAME)?;
        line("project", &self.project, 0, MAX_PHRASE)?;
        line("surface", &self.surface, 0, MAX_LABEL)?;
        tags(&self.tags)?;
        options(&self.options)?;
        if self.allow_multiple && self.options.is_empty() {
            return Err(Error::invalid(
                "allow_multiple",
                "needs options to choose from",
            ));
        }
        let expire_time = self
            .expiration
            .map(|expiration| expire_time(expiration, now))
            .transpose()?;
        self.check_default_response()?;
        let new = NewNotification {
            draft: self,
            create_time: now,
            expire_time,
        };
        if new.draft.request_id.is_none() {
            new.check_new()?;
        }
        Ok(new)
    }

    fn check_default_response(&self) -> Result<()> {
        if self.default_response.is_empty() {
            return Ok(());
        }
        if self.expiration.is_none() {
            return Err(Error::invalid(
                "default_response",
                "needs an expire_time or ttl",
            ));
        }
        text("default_response", &self.default_response, MAX_MESSAGE)?;
        let rules = response::Rules {
            id: 0,
            options: &self.options,
            allow_multiple: self.allow_multiple,
            allow_text: self.allow_text,
        };
        rules
            .choose("default_response", &self.default_response, &[])
            .map(drop)
            .map_err(|error| match error {
                // There is no notification yet that could refuse a response.
                Error::ResponseNotAllowed { field, rule, .. } => {
                    Error::InvalidField { field, rule }
                }
                other => other,
            })
    }
}

/// Checks a text of one line, `least` to `most` characters long.
pub(in crate::domain) fn line(field: &str, value: &str, least: usize, most: usize) -> Result<()> {
    // A byte is never more than a character, so a short text need not be counted.
    let length = if value.len() <= most {
        value.len()
    } else {
        value.chars().count()
    };
    if length > most {
        return Err(Error::invalid(
            field,
            format!("has {length} characters; at most {most} are allowed"),
        ));
    }
    if length < least || (least > 0 && value.trim().is_empty()) {
        return Err(Error::invalid(field, "must not be empty"));
    }
    if value.contains(['\n', '\r', '\0']) {
        return Err(Error::invalid(
            field,
            "must be one line, without line breaks or NUL characters",
        ));
    }
    Ok(())
}

/// Checks a text of any number of lines, at most `most` bytes long.
pub(in crate::domain) fn text(field: &str, value: &str, most: usize) -> Result<()> {
    if value.len() > most {
        let length = value.len();
        return Err(Error::invalid(
            field,
            format!("has {length} bytes; at most {most} are allowed"),
        ));
    }
    // SQLite stores it, but every C program that reads the column stops there.
    if value.contains('\0') {
        return Err(Error::invalid(field, "must not contain NUL characters"));
    }
    Ok(())
}

fn context(value: &str) -> Result<()> {
    if value.is_empty() {
        return Ok(());
    }
    text("context", value, MAX_CONTEXT)?;
    match serde_json::from_str::<serde::de::IgnoredAny>(value) {
        Err(error) => Err(Error::invalid("context", not_json(&error))),
        Ok(_) if !value.trim_start().starts_with('{') => Err(Error::invalid(
            "context",
            "must be a JSON object, in braces",
        )),
        Ok(_) => Ok(()),
    }
}

/// What is wrong with a context, without the words of the parser, which only its authors understand.
fn not_json(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "must be a JSON object; it ends before the object does".to_owned();
    }
    format!(
        "must be a JSON object; line {}, column {} is not JSON",
        error.line(),
        error.column()
    )
}

fn tags(tags: &[String]) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(Error::invalid(
            "tags",
            format!("at most {MAX_TAGS} are allowed"),
        ));
    }
    tags.iter()
        .enumerate()
        .try_for_each(|(index, tag)| line(&format!("tags[{index}]"), tag, 1, MAX_LABEL))
}

fn options(options: &[Choice]) -> Result<()> {
    if options.len() > MAX_OPTIONS {
        return Err(Error::invalid(
            "options",
            format!("at most {MAX_OPTIONS} are allowed"),
        ));
    }
    for (index, option) in options.iter().enumerate() {
        let field = format!("options[{index}]");
        line(&format!("{field}.name"), &option.name, 1, MAX_LABEL)?;
        line(
            &format!("{field}.description"),
            &option.description,
            0,
            MAX_PHRASE,
        )?;
        if options[..index]
            .iter()
            .any(|other| other.name == option.name)
        {
            return Err(Error::invalid(
                format!("{field}.name"),
                "each option needs a name of its own",
            ));
        }
    }
    Ok(())
}

fn expired() -> Error {
    Error::invalid("expire_time", "must lie in the future")
}

fn expire_time(expiration: Expiration, now: Timestamp) -> Result<Timestamp> {
    match expiration {
        Expiration::At(time) if time.since(now) > MAX_TTL => {
            Err(Error::invalid("expire_time", "must be within 10 years"))
        }
        Expiration::At(time) => Ok(time),
        Expiration::After(span) if span.as_micros() == 0 || span > MAX_TTL => Err(Error::invalid(
            "ttl",
            "must be at least a microsecond and at most 10 years",
        )),
        Expiration::After(span) => Ok(now.saturating_add(span)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        Timestamp::from_micros(1_760_000_000_000_000).expect("in range")
    }

    fn draft() -> Draft {
        Draft {
            request_id: None,
            kind: NotificationType::Question,
            priority: Priority::Normal,
            title: "Deploy?".to_owned(),
            message: String::new(),
            context: String::new(),
            agent: String::new(),
            session: String::new(),
            project: String::new(),
            tags: Vec::new(),
            options: ["yes", "no"]
                .map(|name| Choice {
                    name: name.to_owned(),
                    description: String::new(),
                })
                .to_vec(),
            allow_multiple: false,
            allow_text: false,
            expiration: None,
            default_response: String::new(),
            surface: String::new(),
            owner: None,
        }
    }

    /// The field that the change makes invalid.
    fn refused(change: impl FnOnce(&mut Draft)) -> String {
        let mut draft = draft();
        change(&mut draft);
        match draft.validate(now()) {
            Err(Error::InvalidField { field, .. } | Error::ResponseNotAllowed { field, .. }) => {
                field
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_plain_question_is_accepted() {
        assert!(draft().validate(now()).is_ok());
    }

    #[test]
    fn limits_count_characters_for_lines_and_bytes_for_texts() {
        let mut at_limit = draft();
        at_limit.title = "é".repeat(MAX_TITLE);
        at_limit.message = "m".repeat(MAX_MESSAGE);
        at_limit.context = format!("{{\"k\":\"{}\"}}", "c".repeat(MAX_CONTEXT - 8));
        assert!(at_limit.validate(now()).is_ok());
        assert_eq!(refused(|d| d.title = "é".repeat(MAX_TITLE + 1)), "title");
        assert_eq!(
            refused(|d| d.message = "m".repeat(MAX_MESSAGE + 1)),
            "message"
        );
        assert_eq!(
            refused(|d| d.context = format!("{{\"k\":\"{}\"}}", "c".repeat(MAX_CONTEXT - 7))),
            "context"
        );
    }

    #[test]
    fn a_title_is_one_line_of_something() {
        for title in ["", "   ", "two\nlines", "nul\0"] {
            assert_eq!(
                refused(|d| d.title = title.to_owned()),
                "title",
                "{title:?}"
            );
        }
    }

    #[test]
    fn a_context_is_a_json_object() {
        for context in ["[]", "1", "null", "\"{}\"", "{", "{}x", "{\"a\":}"] {
            assert_eq!(
                refused(|d| d.context = context.to_owned()),
                "context",
                "{context:?}"
            );
        }
        let mut fine = draft();
        fine.context = " {\"a\": [1, {\"b\": null}]} ".to_owned();
        assert!(fine.validate(now()).is_ok());
    }

    #[test]
    fn a_deeply_nested_context_is_refused_and_does_not_overflow_the_stack() {
        assert_eq!(
            refused(|d| d.context = format!("{{\"a\":{}", "[".repeat(200_000))),
            "context"
        );
    }

    #[test]
    fn options_have_names_of_their_own() {
        assert_eq!(
            refused(|d| d.options[1].name = "yes".to_owned()),
            "options[1].name"
        );
        assert_eq!(refused(|d| d.options[0].name.clear()), "options[0].name");
        assert_eq!(
            refused(|d| d.options = vec![d.options[0].clone(); 17]),
            "options"
        );
        assert_eq!(
            refused(|d| {
                d.options.clear();
                d.allow_multiple = true;
            }),
            "allow_multiple"
        );
    }

    #[test]
    fn an_expiry_lies_in_the_future_and_within_ten_years() {
        for expiration in [
            Expiration::At(now()),
            Expiration::At(Timestamp::MIN),
            Expiration::At(Timestamp::MAX),
        ] {
            assert_eq!(refused(|d| d.expiration = Some(expiration)), "expire_time");
        }
        for span in [
            Duration::ZERO,
            MAX_TTL + Duration::from_secs(1),
            Duration::MAX,
        ] {
            assert_eq!(
                refused(|d| d.expiration = Some(Expiration::After(span))),
                "ttl"
            );
        }
    }

    #[test]
    fn a_default_response_needs_an_expiry_and_must_be_allowed() {
        assert_eq!(
            refused(|d| d.default_response = "yes".to_owned()),
            "default_response"
        );
        let hour = Some(Expiration::After(Duration::from_secs(3600)));
        assert_eq!(
            refused(|d| {
                d.expiration = hour;
                d.default_response = "maybe".to_owned();
            }),
            "default_response"
        );
        let mut fine = draft();
        fine.expiration = hour;
        fine.default_response = "no".to_owned();
        assert!(fine.validate(now()).is_ok());
    }
}
