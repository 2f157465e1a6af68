//! Reading `barista.toml`, so that a mistake in it is told with its place, the key, and what would be valid.
//!
//! The text is walked key by key, and each value is tried alone: the deserialiser of the whole would stop at its first complaint without naming the
//! key that the value belongs to.

use std::ops::Range;
use std::path::Path;

use barista_locate::variables::nearest;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table};

use super::{ConfigError, KEYS, alone};

/// Reads and checks the file.
pub(super) fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    check(&text).map_err(|mistake| {
        let before = text.get(..mistake.at).unwrap_or(&text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        ConfigError::File {
            path: path.to_owned(),
            line: 1 + before.matches('\n').count(),
            column: 1 + before[line_start..].chars().count(),
            message: mistake.message,
        }
    })
}

/// What is wrong, and where: an offset in bytes.
struct Mistake {
    at: usize,
    message: String,
}

impl Mistake {
    fn new(span: &Range<usize>, message: String) -> Self {
        Self {
            at: span.start,
            message,
        }
    }

    /// A text that is no TOML.
    fn syntax(error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start);
        let why = error.message().replace('`', "\"").replace('\n', ", ");
        Self {
            at,
            message: format!("this is no TOML: {why}"),
        }
    }
}

/// The table that `text` holds, or the first mistake in it.
fn check(text: &str) -> Result<Table, Mistake> {
    let syntax = |error: toml::de::Error| Mistake::syntax(&error);
    let places = DeTable::parse(text).map_err(syntax)?;
    let table: Table = toml::from_str(text).map_err(syntax)?;
    let mut mistakes = Vec::new();
    for (section, places) in places.get_ref() {
        let name = section.get_ref().as_ref();
        match (places.get_ref(), table.get(name).and_then(|t| t.as_table())) {
            _ if !is_section(name) => {
                mistakes.push(Mistake::new(&section.span(), unknown_section(name)));
            }
            (DeValue::Table(places), Some(table)) => {
                mistakes.extend(check_section(text, name, places, table));
            }
            _ => {
                let message =
                    format!("{name} must be a section: write [{name}] on a line of its own");
                mistakes.push(Mistake::new(&section.span(), message));
            }
        }
    }
    match mistakes.into_iter().min_by_key(|mistake| mistake.at) {
        Some(first) => Err(first),
        None => Ok(table),
    }
}

fn check_section(text: &str, section: &str, places: &DeTable<'_>, table: &Table) -> Vec<Mistake> {
    let check = |(key, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = key.get_ref();
        if !KEYS
            .iter()
            .any(|key| key.section == section && key.name == name)
        {
            return Some(Mistake::new(&key.span(), unknown_key(section, name)));
        }
        let error = alone(section, name, table.get(name.as_ref())?.clone()).err()?;
        let written = text.get(value.span()).unwrap_or_default();
        let message = format!("{section}.{name} is {written}, but {}", must_be(&error));
        Some(Mistake::new(&value.span(), message))
    };
    places.iter().filter_map(check).collect()
}

/// What a value must be, from the words of the deserialiser that refused it: `invalid value: integer 0, expected a whole number from 1 to 64`.
pub(super) fn must_be(error: &toml::de::Error) -> String {
    let said = error.message();
    match said.split_once("expected ") {
        Some((_, valid)) => format!("must be {}", valid.replace('`', "").trim_end()),
        None => format!("that is not valid: {said}"),
    }
}

fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.section == name)
}

fn unknown_section(name: &str) -> String {
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return format!("{name} must stand below a line with [{}]", key.section);
    }
    let mut sections: Vec<&str> = KEYS.iter().map(|key| key.section).collect();
    sections.dedup();
    match nearest(name, sections.iter().copied()) {
        Some(meant) => format!("there is no section {name}; did you mean {meant}?"),
        None => format!(
            "there is no section {name}; there are {}",
            sections.join(", ")
        ),
    }
}

fn unknown_key(section: &str, name: &str) -> String {
    let keys = || KEYS.iter().filter(|key| key.section == section);
    if let Some(meant) = nearest(name, keys().map(|key| key.name)) {
        return format!("{section}.{name} is no setting; did you mean {meant}?");
    }
    if let Some(elsewhere) = KEYS.iter().find(|key| key.name == name) {
        return format!(
            "{section}.{name} is no setting; {name} belongs to the section {}",
            elsewhere.section
        );
    }
    let keys: Vec<&str> = keys().map(|key| key.name).collect();
    format!(
        "{section}.{name} is no setting; the section {section} has {}",
        keys.join(", ")
    )
}
