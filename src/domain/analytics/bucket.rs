//! Ranges of time in buckets of a calendar: hours, days, weeks and months as the clock on a wall shows them.
//!
//! The bounds of a range are cut off the first and the last bucket, so that the buckets cover exactly what was asked for. On the days on which
//! the clocks change a day has 23 or 25 hours, or in few places another length.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::{Offset, TimeZone};
use jiff::{ToSpan, Zoned};

use super::super::clock::Timestamp;
use super::super::hourly::HOUR_MICROS;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// How long a bucket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BucketSize {
    /// The whole range is one bucket.
    Whole,
    /// From a full hour of the local clock to the next. A change of the clocks ends an hour, too.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From Monday to Monday.
    Week,
    /// From the first of a month to the next.
    Month,
}

/// Returns the bounds of the buckets of `range` in `zone`: the start of each, and the end of the last one. `None` where there would be more than
/// `most` buckets.
///
/// They grow strictly, the first is the start of the range and the last its end. The range must not be empty.
#[must_use]
pub fn bounds(
    range: &Range<Timestamp>,
    size: BucketSize,
    zone: &TimeZone,
    most: usize,
) -> Option<Vec<Timestamp>> {
    let mut bounds = vec![range.start];
    let mut last = range.start;
    while last < range.end {
        if bounds.len() > most {
            return None;
        }
        let next = following(last, size, zone).filter(|next| *next > last);
        last = next.map_or(range.end, |next| next.min(range.end));
        bounds.push(last);
    }
    Some(bounds)
}

/// The start of the bucket that `time` is in; `time` itself where the whole range is one.
#[must_use]
pub fn start(time: Timestamp, size: BucketSize, zone: &TimeZone) -> Timestamp {
    let Some(zoned) = to_zoned(time, zone) else {
        return time;
    };
    let start = match size {
        BucketSize::Whole => return time,
        BucketSize::Hour => return start_of_hour(time, zone),
        BucketSize::Day => midnight(zoned.date(), zone),
        BucketSize::Week => monday(zoned.date()).and_then(|date| midnight(date, zone)),
        BucketSize::Month => midnight(zoned.date().first_of_month(), zone),
    };
    // Where a day was left out of the calendar, its midnight is that of the next one.
    start.map_or(time, |start| start.min(time))
}

/// The start of the first bucket that begins after `time`; `None` beyond the calendar.
fn following(time: Timestamp, size: BucketSize, zone: &TimeZone) -> Option<Timestamp> {
    if size == BucketSize::Hour {
        return end_of_hour(time, zone);
    }
    let mut date = to_zoned(time, zone)?.date();
    // More than once only where whole days were left out of the calendar.
    loop {
        date = match size {
            BucketSize::Whole | BucketSize::Hour => return None,
            BucketSize::Day => date.tomorrow().ok()?,
            BucketSize::Week => monday(date)?.checked_add(7.days()).ok()?,
            BucketSize::Month => date.first_of_month().checked_add(1.months()).ok()?,
        };
        let next = midnight(date, zone)?;
        if next > time {
            return Some(next);
        }
    }
}

/// The last change of the clocks at or before `time`.
fn change_before(time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let now = to_jiff(time.saturating_add(std::time::Duration::from_micros(1)))?;
    let change = zone.preceding(now).next()?.timestamp();
    Timestamp::from_micros(change.as_microsecond())
}

fn start_of_hour(time: Timestamp, zone: &TimeZone) -> Timestamp {
    let Some(offset) = offset(time, zone) else {
        return time;
    };
    let into = local_micros(time, offset).rem_euclid(HOUR_MICROS);
    let start = Timestamp::from_micros(time.as_micros() - into).unwrap_or(Timestamp::MIN);
    change_before(time, zone).map_or(start, |change| start.max(change))
}

fn end_of_hour(time: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
    let offset = offset(time, zone)?;
    let left = HOUR_MICROS - local_micros(time, offset).rem_euclid(HOUR_MICROS);
    let end = Timestamp::from_micros(time.as_micros() + left)?;
    let change = zone.following(to_jiff(time)?).next();
    let change =
        change.and_then(|change| Timestamp::from_micros(change.timestamp().as_microsecond()));
    Some(change.map_or(end, |change| end.min(change)))
}

fn offset(time: Timestamp, zone: &TimeZone) -> Option<Offset> {
    Some(zone.to_offset(to_jiff(time)?))
}

fn local_micros(time: Timestamp, offset: Offset) -> i64 {
    time.as_micros() + i64::from(offset.seconds()) * MICROS_PER_SECOND
}

fn to_jiff(time: Timestamp) -> Option<jiff::Timestamp> {
    jiff::Timestamp::from_microsecond(time.as_micros()).ok()
}

fn to_zoned(time: Timestamp, zone: &TimeZone) -> Option<Zoned> {
    Some(to_jiff(time)?.to_zoned(zone.clone()))
}

/// The first instant of `date`.
fn midnight(date: Date, zone: &TimeZone) -> Option<Timestamp> {
    let midnight = date.to_datetime(Time::midnight()).to_zoned(zone.clone());
    Timestamp::from_micros(midnight.ok()?.timestamp().as_microsecond())
}

/// The last Monday up to `date`.
fn monday(date: Date) -> Option<Date> {
    let since = i64::from(date.weekday().since(Weekday::Monday));
    date.checked_sub(since.days()).ok()
}

/// An hour of a week: what a heat map has a cell for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cell {
    /// 0 for Monday to 6 for Sunday.
    pub weekday: u8,
    /// 0 to 23.
    pub hour: u8,
}

/// The hour of the week that the local clock shows at `time`.
#[must_use]
pub fn cell(time: Timestamp, zone: &TimeZone) -> Cell {
    let zoned = to_zoned(time, zone);
    let number = |number: i8| u8::try_from(number).unwrap_or(0);
    zoned.map_or(
        Cell {
            weekday: 0,
            hour: 0,
        },
        |zoned| Cell {
            weekday: number(zoned.weekday().to_monday_zero_offset()),
            hour: number(zoned.hour()),
        },
    )
}

/// The offset of the local clock at `time`, in seconds east of UTC.
#[must_use]
pub fn offset_seconds(time: Timestamp, zone: &TimeZone) -> i32 {
    offset(time, zone).map_or(0, Offset::seconds)
}

/// How the buckets between `bounds` are read from sums by the hour.
///
/// Sums know nothing of what happened when within an hour of UTC. So where a bound lies inside one, as that of a day does in a zone that is half
/// an hour off, the observations of that hour are read themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Hours since the epoch that lie in the range as a whole; the sums of those that are not in `cut` are read.
    pub hours: Range<i64>,
    /// Hours with a bound inside.
    pub cut: BTreeSet<i64>,
}

impl Plan {
    /// The plan for the buckets between `bounds`, of which there are at least two.
    #[must_use]
    pub fn of(bounds: &[Timestamp]) -> Self {
        let micros = |time: Option<&Timestamp>| time.map_or(0, |time| time.as_micros());
        let first = micros(bounds.first());
        let last = micros(bounds.last());
        let is_inside = |time: &&Timestamp| time.as_micros().rem_euclid(HOUR_MICROS) != 0;
        Self {
            hours: -(-first).div_euclid(HOUR_MICROS)..last.div_euclid(HOUR_MICROS),
            cut: bounds
                .iter()
                .filter(is_inside)
                .map(|time| time.as_micros().div_euclid(HOUR_MICROS))
                .collect(),
        }
    }

    /// The ranges of time, in microseconds since the epoch, whose observations are read themselves: in order, and apart from each other.
    #[must_use]
    pub fn stretches(&self, bounds: &[Timestamp]) -> Vec<Range<i64>> {
        let (Some(first), Some(last)) = (bounds.first(), bounds.last()) else {
            return Vec::new();
        };
        let mut stretches: Vec<Range<i64>> = Vec::new();
        for hour in &self.cut {
            let start = (hour * HOUR_MICROS).max(first.as_micros());
            let end = ((hour + 1) * HOUR_MICROS).min(last.as_micros());
            match stretches.last_mut() {
                Some(before) if before.end == start => before.end = end,
                _ => stretches.push(start..end),
            }
        }
        stretches
    }
}

/// The bucket between `bounds` that `micros` is in; `None` outside them.
#[must_use]
pub fn position(bounds: &[Timestamp], micros: i64) -> Option<usize> {
    let after = bounds.partition_point(|bound| bound.as_micros() <= micros);
    (after > 0 && after < bounds.len()).then(|| after - 1)
}

#[cfg(test)]
mod tests;
