//! From what is in a row to what it means, and back. The only place where text from the database becomes a type.
//!
//! Direct tooling may store anything in any column. Nothing here fails for that: what cannot be understood is shown as text, or as absent.

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::Row;
use rusqlite::types::ValueRef;
use serde::{Deserialize, Serialize};

use crate::domain::authority::Owner;
use crate::domain::clock::Timestamp;
use crate::domain::notification::{Choice, Notification, Response, State};
use crate::domain::word::{Vocabulary, Word};

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

/// The columns of what a notification says, in the order that [`notification`] reads them in. They hardly ever change.
pub(super) const CONTENT: [&str; 15] = [
    "type",
    "priority",
    "title",
    "message",
    "context",
    "created_at",
    "agent",
    "session",
    "project",
    "tags",
    "options",
    "allow_multiple",
    "allow_text",
    "expires_at",
    "default_response",
];

/// The columns that [`Course`] reads, in its order. A change of state touches them.
pub(super) const COURSE: [&str; 8] = [
    "status",
    "user_response",
    "updated_at",
    "read_at",
    "closed_at",
    "closed_by",
    "closed_surface",
    "response_options",
];

/// `columns` as a list for a SELECT, each with `table` in front.
pub(super) fn columns(table: &str, columns: &[&str]) -> String {
    columns
        .iter()
        .map(|column| format!("{table}.{column}"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// One of the answers, as stored.
#[derive(Serialize, Deserialize)]
struct StoredChoice {
    name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    description: String,
}

/// Whatever a column holds, as text; empty for NULL.
pub(super) fn text(row: &Row<'_>, index: usize) -> rusqlite::Result<String> {
    Ok(match row.get_ref(index)? {
        ValueRef::Null => String::new(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
    })
}

/// A word of a vocabulary. Only text can be one: what is compared in SQL is compared with text, so the bytes of a word are another word.
fn word<T: Vocabulary>(row: &Row<'_>, index: usize) -> rusqlite::Result<Word<T>> {
    let text = text(row, index)?;
    Ok(match row.get_ref(index)? {
        ValueRef::Text(_) => T::parse(&text),
        _ => Word::Other(text),
    })
}

fn optional_text(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<String>> {
    match row.get_ref(index)? {
        ValueRef::Null => Ok(None),
        _ => text(row, index).map(Some),
    }
}

fn flag(row: &Row<'_>, index: usize) -> rusqlite::Result<bool> {
    Ok(matches!(row.get_ref(index)?, ValueRef::Integer(number) if number != 0))
}

/// A point in time; `None` where the column holds no time.
pub(super) fn time(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().and_then(parse_time),
        _ => None,
    })
}

/// Reads a time as direct tooling writes it: UTC without an offset; also with an offset, and with a space in the place of the T.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let civil = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => TimeZone::UTC.to_datetime(instant),
        Err(_) => text.parse::<DateTime>().ok()?,
    };
    Timestamp::from_micros(i64::try_from(civil.duration_since(EPOCH).as_micros()).ok()?)
}

/// Writes a time as Python's `datetime.isoformat` does: no offset, and no fraction where it is zero.
pub(super) fn format_time(time: Timestamp) -> String {
    // Both end with the year 9999, so the addition cannot overflow.
    let civil = EPOCH.saturating_add(SignedDuration::from_micros(time.as_micros()));
    let (date, clock) = (civil.date(), civil.time());
    let mut text = format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        date.year(),
        date.month(),
        date.day(),
        clock.hour(),
        clock.minute(),
        clock.second()
    );
    let micros = clock.subsec_nanosecond() / 1_000;
    if micros != 0 {
        text.push_str(&format!(".{micros:06}"));
    }
    text
}

/// A list of words, from JSON; empty where the column holds no such list.
fn words(row: &Row<'_>, index: usize) -> rusqlite::Result<Vec<String>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Text(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
        _ => Vec::new(),
    })
}

fn choices(row: &Row<'_>, index: usize) -> rusqlite::Result<Vec<Choice>> {
    let stored: Vec<StoredChoice> = match row.get_ref(index)? {
        ValueRef::Text(bytes) => serde_json::from_slice(bytes).unwrap_or_default(),
        _ => Vec::new(),
    };
    Ok(stored
        .into_iter()
        .map(|choice| Choice {
            name: choice.name,
            description: choice.description,
        })
        .collect())
}

/// A list of words as JSON, or NULL for none.
pub(super) fn words_json(words: &[String]) -> Option<String> {
    // A list of strings always has a JSON form.
    if words.is_empty() {
        None
    } else {
        serde_json::to_string(words).ok()
    }
}

/// The options as JSON, or NULL for none.
pub(super) fn choices_json(options: &[Choice]) -> Option<String> {
    let stored: Vec<StoredChoice> = options
        .iter()
        .map(|option| StoredChoice {
            name: option.name.clone(),
            description: option.description.clone(),
        })
        .collect();
    if stored.is_empty() {
        None
    } else {
        serde_json::to_string(&stored).ok()
    }
}

/// A text, or NULL where it is empty.
pub(super) fn some(text: &str) -> Option<&str> {
    if text.is_empty() { None } else { Some(text) }
}

/// The columns of a change of state.
pub(super) struct Course {
    state: Word<State>,
    update_time: Option<Timestamp>,
    read_time: Option<Timestamp>,
    close_time: Option<Timestamp>,
    closed_by: String,
    closed_surface: String,
    response: Option<Response>,
}

impl Course {
    /// Reads the columns [`COURSE`], which begin at `base`.
    pub(super) fn read(row: &Row<'_>, base: usize) -> rusqlite::Result<Self> {
        let state = word(row, base)?;
        let close_time = time(row, base + 4)?;
        let closed_by = text(row, base + 5)?;
        let closed_surface = text(row, base + 6)?;
        let response = match optional_text(row, base + 1)? {
            None => None,
            Some(text) => Some(Response {
                text,
                options: words(row, base + 7)?,
                responder: closed_by.clone(),
                surface: closed_surface.clone(),
                time: close_time,
                is_default: state == Word::Known(State::Expired),
            }),
        };
        Ok(Self {
            state,
            update_time: time(row, base + 2)?,
            read_time: time(row, base + 3)?,
            close_time,
            closed_by,
            closed_surface,
            response,
        })
    }
}

/// Whose notification it is. What is no digest belongs to nobody.
pub(super) fn owner(row: &Row<'_>, index: usize) -> rusqlite::Result<Option<Owner>> {
    Ok(match row.get_ref(index)? {
        ValueRef::Blob(bytes) => Owner::from_stored(bytes),
        _ => None,
    })
}

/// Reads a notification whose [`CONTENT`] begins at `content` and whose [`COURSE`] begins at `course`. Whose it is stands elsewhere.
pub(super) fn notification(
    row: &Row<'_>,
    id: i64,
    sequence: i64,
    content: usize,
    course: usize,
) -> rusqlite::Result<Notification> {
    let course = Course::read(row, course)?;
    Ok(Notification {
        id,
        kind: word(row, content)?,
        priority: word(row, content + 1)?,
        state: course.state,
        title: text(row, content + 2)?,
        message: text(row, content + 3)?,
        context: text(row, content + 4)?,
        agent: text(row, content + 6)?,
        session: text(row, content + 7)?,
        project: text(row, content + 8)?,
        tags: words(row, content + 9)?,
        options: choices(row, content + 10)?,
        allow_multiple: flag(row, content + 11)?,
        allow_text: flag(row, content + 12)?,
        create_time: time(row, content + 5)?,
        update_time: course.update_time,
        read_time: course.read_time,
        close_time: course.close_time,
        closed_by: course.closed_by,
        closed_surface: course.closed_surface,
        expire_time: time(row, content + 13)?,
        default_response: text(row, content + 14)?,
        response: course.response,
        sequence,
        owner: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(text: &str) -> Option<i64> {
        parse_time(text).map(Timestamp::as_micros)
    }

    #[test]
    fn times_are_read_as_direct_tooling_writes_them() {
        let expected = Some(1_760_014_435_123_456);
        assert_eq!(micros("2025-10-09T12:53:55.123456"), expected);
        assert_eq!(micros("2025-10-09 12:53:55.123456"), expected);
        assert_eq!(micros("2025-10-09T12:53:55.123456Z"), expected);
        assert_eq!(micros("2025-10-09T14:53:55.123456+02:00"), expected);
        assert_eq!(micros("2025-10-09T12:53:55"), Some(1_760_014_435_000_000));
        for text in [
            "",
            "yesterday",
            "2025-13-01T00:00:00",
            "99999-01-01",
            "1760014435",
        ] {
            assert_eq!(micros(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_are_written_as_python_writes_them() {
        let write = |micros| format_time(Timestamp::from_micros(micros).expect("in range"));
        assert_eq!(write(1_760_014_435_123_456), "2025-10-09T12:53:55.123456");
        assert_eq!(write(1_760_014_435_000_000), "2025-10-09T12:53:55");
        assert_eq!(write(1_760_014_435_000_010), "2025-10-09T12:53:55.000010");
        assert_eq!(format_time(Timestamp::MAX), "9999-12-31T23:59:59.999999");
        assert_eq!(format_time(Timestamp::MIN), "0001-01-01T00:00:00");
    }

    #[test]
    fn a_written_time_is_read_as_the_same_time() {
        for time in [
            Timestamp::MIN,
            Timestamp::MAX,
            Timestamp::from_micros(-1).expect("in range"),
        ] {
            assert_eq!(parse_time(&format_time(time)), Some(time));
        }
    }
}
