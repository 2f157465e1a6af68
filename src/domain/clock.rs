//! Points in time, and where the present comes from.

use std::time::Duration;

/// A point in time: microseconds since 1970-01-01T00:00:00Z, the resolution that direct tooling stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The first instant of the year 1, the earliest that the wire can carry.
    pub const MIN: Self = Self(-62_135_596_800_000_000);
    /// The last microsecond of the year 9999, the latest that the wire and the text form can carry.
    pub const MAX: Self = Self(253_402_300_799_999_999);

    /// The point `micros` microseconds after the epoch, or `None` outside [`Timestamp::MIN`] to [`Timestamp::MAX`].
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::MIN.0..=Self::MAX.0)
            .contains(&micros)
            .then_some(Self(micros))
    }

    /// Microseconds since the epoch.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// This point plus `span`, held at [`Timestamp::MAX`].
    #[must_use]
    pub fn saturating_add(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(Self::MAX.0))
    }

    /// This point minus `span`, held at [`Timestamp::MIN`].
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        let micros = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_sub(micros).max(Self::MIN.0))
    }

    /// How long it is from `earlier` to this point; zero where `earlier` is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// The source of the present. A parameter, so that a test can set the time.
pub trait Clock: Send + Sync {
    /// The present, in UTC. May go backwards when the machine's clock is set.
    fn now(&self) -> Timestamp;
}
