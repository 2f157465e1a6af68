//! Durable watchers: a named place in the journal for each, and what they set aside.

pub mod store;

use std::time::Duration;

use super::change::{Cursor, JournalBounds};
use super::clock::Timestamp;
use super::error::{Error, Result};

/// The most characters of a name.
const MAX_NAME: usize = 64;
/// The most bytes of the reason why a change was set aside.
pub const MAX_ERROR: usize = 4 * 1024;
/// The most changes that one consumer may have set aside.
pub const MAX_SET_ASIDE: usize = 10_000;

/// A consumer, as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    /// Its place in the list.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// The epoch that the acknowledged sequence belongs to.
    pub epoch: String,
    /// Everything up to this sequence is dealt with.
    pub acknowledged: i64,
    /// Grows with each creation and reset.
    pub generation: i64,
    /// The number of its newest watch; 0 before the first.
    pub watch: i64,
    /// When it was created.
    pub create_time: Option<Timestamp>,
    /// When its place last changed.
    pub update_time: Option<Timestamp>,
    /// When the first change after the acknowledged one was written; `None` where the journal has none, or has it no longer.
    pub behind_since: Option<Timestamp>,
    /// How many changes are set aside.
    pub set_aside: usize,
}

/// A consumer with the journal that it stands in, read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The consumer.
    pub consumer: Consumer,
    /// The journal.
    pub bounds: JournalBounds,
}

/// How far a consumer may fall behind and still keep retention from removing what it has not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LagLimits {
    /// In changes.
    pub max_events: u64,
    /// How old the first change may be that it has not acknowledged.
    pub max_age: Duration,
}

/// A consumer that no longer keeps the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftBehind {
    /// Its name.
    pub name: String,
    /// How many changes it is behind.
    pub lag: u64,
}

/// What the consumers still need of the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claim {
    /// The smallest acknowledged sequence of the consumers that count: changes after it must be kept. `None`: nobody needs any.
    pub acknowledged: Option<i64>,
    /// Those that do not count any more: the changes after their places may be removed.
    pub left_behind: Vec<LeftBehind>,
}

impl Standing {
    /// Whether the consumer's place belongs to another history of the database, as after a backup was restored.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.consumer.epoch != self.bounds.epoch || self.consumer.acknowledged > self.bounds.head
    }

    /// How many changes the consumer has not acknowledged; 0 where its place is of another epoch, and nothing can be said.
    #[must_use]
    pub fn lag(&self) -> u64 {
        if self.is_elsewhere() {
            return 0;
        }
        u64::try_from(self.bounds.head - self.consumer.acknowledged).unwrap_or(0)
    }

    /// Whether the journal is kept for this consumer.
    #[must_use]
    pub fn holds_journal(&self, limits: LagLimits, now: Timestamp) -> bool {
        let too_old = self
            .consumer
            .behind_since
            .is_some_and(|since| now.since(since) > limits.max_age);
        let lost = self.consumer.acknowledged + 1 < self.bounds.oldest;
        !self.is_elsewhere() && !lost && !too_old && self.lag() <= limits.max_events
    }

    /// The place as a cursor.
    #[must_use]
    pub fn cursor(&self) -> Cursor {
        Cursor {
            epoch: Some(self.consumer.epoch.clone()),
            sequence: self.consumer.acknowledged,
        }
    }
}

/// The watch that a request comes from, as far as the request says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Origin {
    /// The generation of the consumer that the watch began with; `None` is not checked.
    pub generation: Option<i64>,
    /// The number of the watch; `None` is not checked.
    pub watch: Option<i64>,
}

impl Origin {
    /// Checks that no newer watch than this one has begun, and that `consumer` has not been moved since.
    ///
    /// The newer watch is looked for first: a watch that has to begin anew because of a reset must not do that in the newer one's place.
    ///
    /// # Errors
    ///
    /// `ConsumerTakenOver`, `ConsumerReset`.
    pub fn check(self, consumer: &Consumer) -> Result<()> {
        let name = || consumer.name.clone();
        // A lower number is that of a consumer that was made again, which nobody newer watches.
        if self.watch.is_some_and(|watch| watch < consumer.watch) {
            return Err(Error::ConsumerTakenOver { name: name() });
        }
        let is_known = |known| known == consumer.generation;
        if !self.generation.is_none_or(is_known) {
            return Err(Error::ConsumerReset { name: name() });
        }
        Ok(())
    }
}

/// What `consumers` still need of the journal, at `now`. Retention must not remove a change after [`Claim::acknowledged`].
#[must_use]
pub fn claim(consumers: &[Standing], limits: LagLimits, now: Timestamp) -> Claim {
    let mut claim = Claim::default();
    for standing in consumers {
        let acknowledged = standing.consumer.acknowledged;
        if standing.holds_journal(limits, now) {
            let least = claim.acknowledged.get_or_insert(acknowledged);
            *least = acknowledged.min(*least);
        } else {
            claim.left_behind.push(LeftBehind {
                name: standing.consumer.name.clone(),
                lag: standing.lag(),
            });
        }
    }
    claim
}

/// Where a consumer is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// After the last change so far.
    Now,
    /// Before the oldest change that is kept.
    Oldest,
    /// Right after a cursor.
    After(Cursor),
}

impl Place {
    /// The sequence that this place comes after.
    ///
    /// # Errors
    ///
    /// `UnknownCursor`, `SequenceCompacted`.
    pub fn sequence(&self, bounds: &JournalBounds) -> Result<i64> {
        match self {
            Self::Now => Ok(bounds.head),
            Self::Oldest => Ok(bounds.oldest - 1),
            Self::After(cursor) => {
                bounds.check(cursor)?;
                Ok(cursor.sequence)
            }
        }
    }

    /// Checks what needs no journal.
    ///
    /// # Errors
    ///
    /// `InvalidField` for a negative sequence.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::After(cursor) => not_negative("after.sequence", cursor.sequence),
            Self::Now | Self::Oldest => Ok(()),
        }
    }
}

/// A change that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Its sequence.
    pub sequence: i64,
    /// The notification that changed; 0 where unknown.
    pub notification_id: i64,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: String,
    /// When it was set aside; `None` before it is, and where the stored text is no time.
    pub time: Option<Timestamp>,
}

impl SetAside {
    /// Checks every field.
    ///
    /// # Errors
    ///
    /// `InvalidField`.
    pub fn validate(&self) -> Result<()> {
        if self.sequence <= 0 {
            return Err(Error::invalid("event.sequence", "must be positive"));
        }
        not_negative("event.notification_id", self.notification_id)?;
        if self.error.len() > MAX_ERROR {
            let rule = format!(
                "must have at most {MAX_ERROR} bytes, not {}",
                self.error.len()
            );
            return Err(Error::invalid("event.error", rule));
        }
        Ok(())
    }
}

/// Checks a name.
///
/// # Errors
///
/// `InvalidField`.
pub fn validate_name(field: &str, name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if begins && name.len() <= MAX_NAME && name.chars().all(plain) {
        return Ok(());
    }
    let rule = format!(
        "must have 1 to {MAX_NAME} characters out of a-z, A-Z, 0-9, \".\", \"_\" and \"-\", beginning with a letter or a digit"
    );
    Err(Error::invalid(field, rule))
}

/// Checks a sequence.
pub(super) fn not_negative(field: &str, number: i64) -> Result<()> {
    if number < 0 {
        return Err(Error::invalid(field, "must not be negative"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000).expect("in range")
    }

    /// A consumer in a journal of 5 to 100, in which one change is written each second.
    fn standing(name: &str, epoch: &str, acknowledged: i64) -> Standing {
        Standing {
            consumer: Consumer {
                id: 1,
                name: name.to_owned(),
                epoch: epoch.to_owned(),
                acknowledged,
                generation: 1,
                watch: 0,
                create_time: None,
                update_time: None,
                behind_since: (5..100)
                    .contains(&(acknowledged + 1))
                    .then(|| at(acknowledged + 1)),
                set_aside: 0,
            },
            bounds: JournalBounds {
                epoch: "e".to_owned(),
                oldest: 5,
                head: 100,
            },
        }
    }

    const LIMITS: LagLimits = LagLimits {
        max_events: 50,
        max_age: Duration::from_secs(40),
    };

    #[test]
    fn the_slowest_consumer_that_counts_keeps_the_journal() {
        let consumers = [
            standing("current", "e", 100),
            standing("slow", "e", 70),
            standing("slower", "e", 62),
        ];
        let kept = claim(&consumers, LIMITS, at(101));
        assert_eq!(kept.acknowledged, Some(62));
        assert_eq!(kept.left_behind, []);
        assert_eq!(claim(&[], LIMITS, at(101)), Claim::default());
    }

    #[test]
    fn whoever_is_too_far_behind_or_elsewhere_keeps_nothing() {
        let consumers = [
            standing("too many", "e", 49),
            standing("too old", "e", 59),
            standing("lost", "e", 3),
            standing("restored", "other", 90),
            standing("ahead", "e", 101),
            standing("fine", "e", 90),
        ];
        let kept = claim(&consumers, LIMITS, at(101));
        assert_eq!(kept.acknowledged, Some(90));
        let left: Vec<_> = kept
            .left_behind
            .iter()
            .map(|left| (left.name.as_str(), left.lag))
            .collect();
        let expected = [
            ("too many", 51),
            ("too old", 41),
            ("lost", 97),
            ("restored", 0),
            ("ahead", 0),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn a_name_can_be_typed_in_a_shell() {
        for good in ["a", "7", "slack-bridge", "Ann.s_bell", &"n".repeat(64)] {
            assert!(validate_name("name", good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            ".a",
            "a b",
            "ä",
            "a/b",
            "a\n",
            "$(x)",
            &"n".repeat(65),
        ] {
            let refused = validate_name("name", bad);
            assert!(
                matches!(&refused, Err(Error::InvalidField { field, .. }) if field == "name"),
                "{bad:?}"
            );
        }
    }
}
