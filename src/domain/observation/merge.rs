//! How reports of one observation become one row.
//!
//! [`join`] takes the reports in any order, each any number of times, and ends with the same facts: for each part it keeps the greater of
//! two under a fixed order, in which something goes before nothing and what a span says before what a log says. Two spans, or two logs,
//! that contradict each other are settled by their values; that is arbitrary, but the same everywhere.

use std::cmp::Ordering;

use super::{Attributes, Facts, Labels, Times, Usage};

/// The parts of [`Facts`] whose source matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// The label with this index in [`Labels::NAMES`].
    Label(usize),
    StatusMessage,
    Place,
    Start,
    End,
    CompletionStart,
    Usage,
    ProvidedCost,
    Input,
    Output,
}

impl Field {
    fn bit(self) -> u32 {
        let last = Labels::COUNT;
        let index = match self {
            Self::Label(index) => index,
            Self::StatusMessage => last,
            Self::Place => last + 1,
            Self::Start => last + 2,
            Self::End => last + 3,
            Self::CompletionStart => last + 4,
            Self::Usage => last + 5,
            Self::ProvidedCost => last + 6,
            Self::Input => last + 7,
            Self::Output => last + 8,
        };
        1 << index
    }
}

/// A set of parts of [`Facts`]: those that come from a log, and from no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldSet(u32);

impl FieldSet {
    /// No part.
    pub const NONE: Self = Self(0);
    /// Every part.
    pub const ALL: Self = Self((1 << (Labels::COUNT + 9)) - 1);

    /// The set that a store has kept.
    #[must_use]
    pub fn from_stored(bits: u32) -> Self {
        Self(bits & Self::ALL.0)
    }

    /// What a store keeps.
    #[must_use]
    pub fn bits(self) -> u32 {
        self.0
    }

    fn has(self, field: Field) -> bool {
        self.0 & field.bit() != 0
    }

    fn set(&mut self, field: Field, from_log: bool) {
        if from_log {
            self.0 |= field.bit();
        } else {
            self.0 &= !field.bit();
        }
    }
}

/// Both sides of a join, to decide for one part after another.
struct Sides {
    mine: FieldSet,
    theirs: FieldSet,
    result: FieldSet,
}

impl Sides {
    /// Whether their value of `field` goes before mine, where `values` compares theirs with mine. Remembers the source of the one that stays.
    fn prefer(&mut self, field: Field, presence: Ordering, values: Ordering) -> bool {
        let sources = self.mine.has(field).cmp(&self.theirs.has(field));
        let theirs = presence.then(sources).then(values) == Ordering::Greater;
        let source = if theirs { self.theirs } else { self.mine };
        self.result.set(field, source.has(field));
        theirs
    }

    fn text(&mut self, field: Field, mine: &mut String, theirs: &String) {
        let presence = mine.is_empty().cmp(&theirs.is_empty());
        if self.prefer(field, presence, theirs.cmp(mine)) {
            mine.clone_from(theirs);
        }
    }

    /// Keeps the greater value; nothing is less than anything.
    fn greatest<T: Ord + Clone>(&mut self, field: Field, mine: &mut Option<T>, theirs: &Option<T>) {
        let presence = theirs.is_some().cmp(&mine.is_some());
        if self.prefer(field, presence, Ord::cmp(theirs, mine)) {
            mine.clone_from(theirs);
        }
    }

    fn times(&mut self, mine: &mut Times, theirs: &Times) {
        if self.prefer(Field::Start, Ordering::Equal, mine.start.cmp(&theirs.start)) {
            mine.start = theirs.start;
        }
        self.greatest(Field::End, &mut mine.end, &theirs.end);
        let presence = theirs
            .completion_start
            .is_some()
            .cmp(&mine.completion_start.is_some());
        let earlier = mine.completion_start.cmp(&theirs.completion_start);
        if self.prefer(Field::CompletionStart, presence, earlier) {
            mine.completion_start = theirs.completion_start;
        }
    }

    /// Tokens and their computed cost stay together, so that one explains the other. Tokens with a price go before tokens without one; among
    /// prices the older table stays, as known costs are not rewritten in silence.
    fn usage(&mut self, mine: &mut Option<Usage>, theirs: &Option<Usage>) {
        let rank = |usage: &Option<Usage>| match usage {
            None => 0,
            Some(Usage { computed: None, .. }) => 1,
            Some(Usage {
                computed: Some(_), ..
            }) => 2,
        };
        let table = |usage: &Option<Usage>| {
            let computed = usage.as_ref().and_then(|usage| usage.computed.clone());
            computed.map(|computed| computed.table)
        };
        let values = table(mine)
            .cmp(&table(theirs))
            .then_with(|| key(theirs).cmp(&key(mine)));
        if self.prefer(Field::Usage, rank(theirs).cmp(&rank(mine)), values) {
            mine.clone_from(theirs);
        }
    }
}

fn key(usage: &Option<Usage>) -> Option<(super::Tokens, Option<super::Computed>)> {
    let usage = usage.as_ref()?;
    Some((usage.tokens, usage.computed.clone()))
}

/// Adds to `mine` what `theirs` says about the same observation. Returns whether anything changed.
pub fn join(mine: &mut Facts, theirs: &Facts) -> bool {
    let before = mine.clone();
    let mut sides = Sides {
        mine: mine.from_log,
        theirs: theirs.from_log,
        result: FieldSet::NONE,
    };
    join_place(&mut sides, mine, theirs);
    mine.spans.extend(theirs.spans.iter().cloned());
    mine.request_ids.extend(theirs.request_ids.iter().cloned());
    mine.kind = mine.kind.max(theirs.kind);
    mine.level = mine.level.max(theirs.level);
    mine.counts &= theirs.counts;
    let labels = mine.labels.all_mut().into_iter().zip(theirs.labels.all());
    for (index, (label, other)) in labels.enumerate() {
        sides.text(Field::Label(index), label, other);
    }
    sides.text(
        Field::StatusMessage,
        &mut mine.status_message,
        &theirs.status_message,
    );
    sides.times(&mut mine.times, &theirs.times);
    sides.usage(&mut mine.usage, &theirs.usage);
    sides.greatest(
        Field::ProvidedCost,
        &mut mine.provided_cost,
        &theirs.provided_cost,
    );
    sides.greatest(Field::Input, &mut mine.input, &theirs.input);
    sides.greatest(Field::Output, &mut mine.output, &theirs.output);
    join_attributes(&mut mine.attributes, &theirs.attributes);
    mine.from_log = sides.result;
    *mine != before
}

/// Trace, span and parent stay together. A span goes before a log that only knows what it happened in.
fn join_place(sides: &mut Sides, mine: &mut Facts, theirs: &Facts) {
    let rank = |facts: &Facts| (facts.place.span.is_some(), facts.place.trace.is_some());
    let presence = rank(theirs).cmp(&rank(mine));
    if sides.prefer(Field::Place, presence, theirs.place.cmp(&mine.place)) {
        mine.place = theirs.place.clone();
    }
}

fn join_attributes(mine: &mut Attributes, theirs: &Attributes) {
    for (mine, theirs) in [(&mut mine.span, &theirs.span), (&mut mine.log, &theirs.log)] {
        let greater = theirs
            .len()
            .cmp(&mine.len())
            .then_with(|| theirs.as_str().cmp(mine.as_str()));
        if greater == Ordering::Greater {
            mine.clone_from(theirs);
        }
    }
}

#[cfg(test)]
mod tests;
