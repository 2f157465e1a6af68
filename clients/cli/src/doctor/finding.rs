//! One thing that was looked at.

use std::borrow::Cow;

use serde_json::{Value, json};

use crate::doctor::fix::Fix;

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

impl Level {
    /// The word for it, for people and programs.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }

    /// The level that a word stands for; `None` for another word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        [Self::Good, Self::Note, Self::Warning, Self::Problem]
            .into_iter()
            .find(|level| level.word() == word)
    }
}

/// One thing that was looked at, what was found, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) level: Level,
    /// What was looked at.
    pub(crate) check: Cow<'static, str>,
    /// What was found.
    pub(crate) text: String,
    /// What helps, as a command where there is one.
    pub(crate) remedy: Option<String>,
    /// What `--fix` does about it, where that is safe.
    pub(crate) fix: Option<Fix>,
}

impl Finding {
    pub(crate) fn new(
        level: Level,
        check: impl Into<Cow<'static, str>>,
        text: impl Into<String>,
        remedy: Option<String>,
    ) -> Self {
        Self {
            level,
            check: check.into(),
            text: text.into(),
            remedy,
            fix: None,
        }
    }

    pub(crate) fn good(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(Level::Good, check, text, None)
    }

    pub(crate) fn note(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(Level::Note, check, text, None)
    }

    pub(crate) fn warning(
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Level::Warning, check, text, Some(remedy.into()))
    }

    pub(crate) fn problem(
        check: &'static str,
        text: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::new(Level::Problem, check, text, Some(remedy.into()))
    }

    /// Says what `--fix` does about it.
    pub(crate) fn fixed_by(mut self, fix: impl Into<Option<Fix>>) -> Self {
        self.fix = fix.into();
        self
    }

    /// The finding for a program.
    pub(crate) fn json(&self) -> Value {
        json!({
            "level": self.level.word(),
            "check": self.check,
            "text": self.text,
            "remedy": self.remedy,
            "fixable": self.fix.is_some(),
        })
    }
}
