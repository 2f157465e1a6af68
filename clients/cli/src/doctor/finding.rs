//! One thing that was looked at.

use serde_json::{Value, json};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// May go wrong.
    Warning,
    /// Does not work, or is not safe.
    Problem,
}

/// One thing that was looked at, what was found, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What was looked at.
    pub(crate) check: &'static str,
    /// What was found.
    pub(crate) text: String,
    /// What helps, as a command where there is one.
    pub(crate) remedy: Option<String>,
}

impl Finding {
    pub(crate) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self {
            level: Level::Good,
            check,
            text: text.into(),
            remedy: None,
        }
    }

    pub(crate) fn note(check: &'static str, text: impl Into<String>) -> Self {
        Self {
            level: Level::Note,
            check,
            text: text.into(),
            remedy: None,
        }
    }

    pub(crate) fn warning(
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self {
            level: Level::Warning,
            check,
            text: text.into(),
            remedy,
        }
    }

    pub(crate) fn problem(
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self {
            level: Level::Problem,
            check,
            text: text.into(),
            remedy,
        }
    }

    /// The finding for a program.
    pub(crate) fn json(&self) -> Value {
        let level = match self.level {
            Level::Good => "ok",
            Level::Note => "note",
            Level::Warning => "warning",
            Level::Problem => "problem",
        };
        json!({ "level": level, "check": self.check, "text": self.text, "remedy": self.remedy })
    }
}
