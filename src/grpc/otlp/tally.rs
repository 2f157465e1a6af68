//! What of a request was refused, and why.

use std::collections::BTreeSet;

use crate::domain::error::Error;

/// The most different reasons that are told.
const MAX_REASONS: usize = 5;

/// The records that were refused.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rejected: i64,
    reasons: BTreeSet<String>,
}

impl Tally {
    /// Takes down that a record was refused.
    pub(super) fn reject(&mut self, error: &Error) {
        self.rejected += 1;
        if self.reasons.len() < MAX_REASONS {
            self.reasons.insert(error.to_string());
        }
    }

    /// How many were refused.
    pub(super) fn rejected(&self) -> i64 {
        self.rejected
    }

    /// What to tell whoever sent `what`; `None` where nothing was refused.
    pub(super) fn complaint(&self, what: &str) -> Option<String> {
        let reasons: Vec<&str> = self.reasons.iter().map(String::as_str).collect();
        (self.rejected > 0).then(|| {
            format!(
                "{} {what} were not stored: {}",
                self.rejected,
                reasons.join("; ")
            )
        })
    }
}
