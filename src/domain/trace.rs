//! Traces: what holds for all observations of one piece of work.

use std::collections::{BTreeMap, BTreeSet};

use super::clock::Timestamp;
use super::observation::id::TraceId;
use super::observation::usage::{NanoDollars, Tokens};

/// What is known about a trace as a whole. Empty strings stand for what is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceFacts {
    /// What it is called. Where nobody said, readers see the name of its root.
    pub name: String,
    /// The person that it was done for.
    pub user: String,
    /// The conversation that it belongs to.
    pub session: String,
    /// The release of the program that was traced.
    pub release: String,
    /// Where that ran: `production`, `test`.
    pub environment: String,
    /// Free labels.
    pub tags: BTreeSet<String>,
    /// More about it: JSON values by key, each as text.
    pub metadata: BTreeMap<String, String>,
    /// What it was asked for.
    pub input: Option<String>,
    /// What came of it.
    pub output: Option<String>,
}

impl TraceFacts {
    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The five names, in a fixed order: name, user, session, release, environment.
    #[must_use]
    pub fn names(&self) -> [&str; 5] {
        [
            &self.name,
            &self.user,
            &self.session,
            &self.release,
            &self.environment,
        ]
    }

    /// Adds what `other` knows. Where they differ, the greater text stays: an arbitrary choice, but the same one in whatever order
    /// they come.
    pub fn join(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.name, &other.name),
            (&mut self.user, &other.user),
            (&mut self.session, &other.session),
            (&mut self.release, &other.release),
            (&mut self.environment, &other.environment),
        ] {
            if *mine < *theirs {
                mine.clone_from(theirs);
            }
        }
        self.tags.extend(other.tags.iter().cloned());
        for (key, value) in &other.metadata {
            let mine = self.metadata.entry(key.clone()).or_default();
            if *mine < *value {
                mine.clone_from(value);
            }
        }
        for (mine, theirs) in [
            (&mut self.input, &other.input),
            (&mut self.output, &other.output),
        ] {
            if *mine < *theirs {
                mine.clone_from(theirs);
            }
        }
    }
}

/// A trace as it is stored, with what its observations add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// What is known about it.
    pub facts: TraceFacts,
    /// When its first observation began.
    pub start_time: Timestamp,
    /// When the last one that has ended did.
    pub end_time: Option<Timestamp>,
    /// How many observations it has.
    pub observations: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Tokens of the observations that count.
    pub tokens: Tokens,
    /// Cost of the observations that count, as far as it is known.
    pub cost: NanoDollars,
    /// How many observations that count have tokens but no known cost.
    pub unknown_costs: u64,
}
