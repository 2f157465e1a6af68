//! Points in time, as the daemon sends them and as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::span;

/// What people read times against: the moment of the call and their time zone. Passed to everything that renders, so that a test can set it.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    /// The moment of the call.
    pub(crate) now: Timestamp,
    /// The reader's time zone.
    pub(crate) zone: TimeZone,
}

impl Clock {
    /// The system's time and zone.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the command line reads the time; everything else takes a Clock"
    )]
    pub(crate) fn system() -> Self {
        Self {
            now: Timestamp::now(),
            zone: TimeZone::system(),
        }
    }

    /// How long ago, in one short word; `-` where the time is unknown, `now` where it lies ahead.
    pub(crate) fn age(&self, time: Option<&prost_types::Timestamp>) -> String {
        time.and_then(convert)
            .map_or_else(|| "-".to_owned(), |time| span::short(self.since(time)))
    }

    /// Date and time in the reader's zone, with its offset and how far away that is: `2026-03-01 09:30:00 +01:00 (3m ago)`.
    ///
    /// The offset and not the zone's abbreviation: several zones share one, and a reader whose `TZ` is not known must see that this is UTC.
    pub(crate) fn full(&self, time: &prost_types::Timestamp) -> String {
        let Some(time) = convert(time) else {
            return "a time out of range".to_owned();
        };
        let zoned = time.to_zoned(self.zone.clone());
        let format = if zoned.offset().is_zero() {
            "%Y-%m-%d %H:%M:%S UTC"
        } else {
            "%Y-%m-%d %H:%M:%S %:z"
        };
        let text = zoned.strftime(format);
        format!("{text} ({})", self.distance(time))
    }

    /// The time of day in the reader's zone, with the date where it is not today's.
    pub(crate) fn of_day(&self, time: Option<&prost_types::Timestamp>) -> String {
        let Some(time) = time.and_then(convert) else {
            return "-".to_owned();
        };
        let time = time.to_zoned(self.zone.clone());
        let today = self.now.to_zoned(self.zone.clone()).date();
        let format = if time.date() == today {
            "%H:%M:%S"
        } else {
            "%Y-%m-%d %H:%M:%S"
        };
        time.strftime(format).to_string()
    }

    /// Date, hour and minute in the reader's zone.
    pub(crate) fn minute(&self, time: Option<&prost_types::Timestamp>) -> String {
        let time = time.and_then(convert);
        time.map_or_else(
            || "-".to_owned(),
            |time| {
                let time = time.to_zoned(self.zone.clone());
                time.strftime("%a %Y-%m-%d %H:%M").to_string()
            },
        )
    }

    /// The time for programs, with the offset of the reader's zone; empty where it is unknown.
    pub(crate) fn rfc3339(&self, time: Option<&prost_types::Timestamp>) -> String {
        let time = time.and_then(convert);
        time.map_or_else(String::new, |time| {
            let offset = self.zone.to_offset(time);
            time.display_with_offset(offset).to_string()
        })
    }

    /// The time of day of the call itself.
    pub(crate) fn present(&self) -> String {
        let now = self.now.to_zoned(self.zone.clone());
        now.strftime("%H:%M:%S").to_string()
    }

    /// `3m ago`, `in 2h` or `now`.
    fn distance(&self, time: Timestamp) -> String {
        let ahead = self.until(time);
        match (self.since(time), ahead) {
            (0, 0) => "now".to_owned(),
            (0, ahead) => format!("in {}", span::short(ahead)),
            (ago, _) => format!("{} ago", span::short(ago)),
        }
    }

    /// `in 57m`, or `due` where the time has come.
    pub(crate) fn remaining(&self, time: &prost_types::Timestamp) -> String {
        match convert(time).map_or(0, |time| self.until(time)) {
            0 => "due".to_owned(),
            ahead => format!("in {}", span::short(ahead)),
        }
    }

    /// Whole seconds from `time` to now; 0 where it lies ahead.
    pub(crate) fn since(&self, time: Timestamp) -> u64 {
        u64::try_from(self.now.as_second().saturating_sub(time.as_second())).unwrap_or(0)
    }

    fn until(&self, time: Timestamp) -> u64 {
        u64::try_from(time.as_second().saturating_sub(self.now.as_second())).unwrap_or(0)
    }
}

/// The same point in time; `None` outside the years that a calendar has.
pub(crate) fn convert(time: &prost_types::Timestamp) -> Option<Timestamp> {
    Timestamp::new(time.seconds, time.nanos).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// 2026-03-01 12:00:00 UTC.
    pub(crate) const NOON: i64 = 1_772_366_400;

    /// Noon of the first of March 2026, in UTC.
    pub(crate) fn noon() -> Clock {
        Clock {
            now: Timestamp::from_second(NOON).expect("in range"),
            zone: TimeZone::UTC,
        }
    }

    /// So many seconds after noon.
    pub(crate) fn at(offset: i64) -> prost_types::Timestamp {
        prost_types::Timestamp {
            seconds: NOON + offset,
            nanos: 0,
        }
    }

    #[test]
    fn times_are_told_by_their_distance() {
        let clock = noon();
        assert_eq!(clock.age(Some(&at(-180))), "3m");
        assert_eq!(clock.age(Some(&at(5))), "now");
        assert_eq!(clock.age(None), "-");
        assert_eq!(clock.full(&at(-180)), "2026-03-01 11:57:00 UTC (3m ago)");
        assert_eq!(clock.full(&at(7_200)), "2026-03-01 14:00:00 UTC (in 2h)");
        assert_eq!(clock.remaining(&at(57 * 60)), "in 57m");
        assert_eq!(clock.remaining(&at(-1)), "due");
    }

    #[test]
    fn a_zone_is_known_by_its_name_and_its_offset_is_told() {
        let clock = Clock {
            zone: TimeZone::get("America/New_York").expect("the system's zones"),
            ..noon()
        };
        let told = clock.full(&at(-180));
        assert_eq!(told, "2026-03-01 06:57:00 -05:00 (3m ago)");
    }

    #[test]
    fn the_date_is_shown_unless_it_is_today() {
        assert_eq!(noon().of_day(Some(&at(-180))), "11:57:00");
        assert_eq!(noon().of_day(Some(&at(-86_400))), "2026-02-28 12:00:00");
        assert_eq!(noon().of_day(None), "-");
    }

    #[test]
    fn a_time_out_of_range_is_no_panic() {
        let wild = prost_types::Timestamp {
            seconds: i64::MAX,
            nanos: -1,
        };
        assert_eq!(noon().full(&wild), "a time out of range");
        assert_eq!(noon().age(Some(&wild)), "-");
    }
}
