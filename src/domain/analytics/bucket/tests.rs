use jiff::civil;
use proptest::prelude::*;

use super::*;

/// Zones with whole, half and quarter hours, with changes of an hour and of half an hour, at midnight, and with a day left out.
pub(crate) const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Africa/Casablanca",
    "America/St_Johns",
];
const SIZES: [BucketSize; 5] = [
    BucketSize::Whole,
    BucketSize::Hour,
    BucketSize::Day,
    BucketSize::Week,
    BucketSize::Month,
];

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect("a zone")
}

/// Local time as text, in `zone`.
fn at(text: &str, zone: &TimeZone) -> Timestamp {
    let time: civil::DateTime = text.parse().expect("a time");
    let time = time.to_zoned(zone.clone()).expect("in range").timestamp();
    Timestamp::from_micros(time.as_microsecond()).expect("in range")
}

/// How many hours each bucket has.
fn hours(start: &str, end: &str, size: BucketSize, name: &str) -> Vec<f64> {
    let zone = zone(name);
    let range = at(start, &zone)..at(end, &zone);
    let bounds = bounds(&range, size, &zone, 1_000).expect("few");
    let hours = |pair: &[Timestamp]| pair[1].since(pair[0]).as_secs_f64() / 3_600.0;
    bounds.windows(2).map(hours).collect()
}

#[test]
fn a_day_on_which_the_clocks_change_has_23_or_25_hours() {
    let day = |start, end, zone| hours(start, end, BucketSize::Day, zone);
    let berlin = "Europe/Berlin";
    assert_eq!(day("2026-03-28", "2026-03-31", berlin), [24.0, 23.0, 24.0]);
    assert_eq!(day("2026-10-24", "2026-10-27", berlin), [24.0, 25.0, 24.0]);
    let howe = "Australia/Lord_Howe";
    assert_eq!(day("2026-04-05", "2026-04-06", howe), [24.5]);
    // Here midnight itself was left out, and there a whole day.
    assert_eq!(
        day("2018-11-03", "2018-11-06", "America/Sao_Paulo"),
        [24.0, 23.0, 24.0]
    );
    assert_eq!(
        day("2011-12-29", "2012-01-01", "Pacific/Apia"),
        [24.0, 24.0]
    );
}

#[test]
fn hours_follow_the_local_clock_and_end_where_it_changes() {
    let hour = |start, end, zone| hours(start, end, BucketSize::Hour, zone);
    assert_eq!(
        hour("2026-10-25T00:00", "2026-10-25T04:00", "Europe/Berlin"),
        [1.0; 5]
    );
    assert_eq!(
        hour("2026-03-29T00:30", "2026-03-29T04:00", "Europe/Berlin"),
        [0.5, 1.0, 1.0],
        "the hour from two to three is left out"
    );
    assert_eq!(
        hour(
            "2026-04-05T01:00",
            "2026-04-05T03:00",
            "Australia/Lord_Howe"
        ),
        [1.0, 0.5, 1.0],
        "half an hour comes twice"
    );
}

#[test]
fn weeks_begin_on_monday_and_months_on_their_first() {
    let lengths = |start, end, size| hours(start, end, size, "UTC");
    let weeks = lengths("2026-11-18", "2026-12-01", BucketSize::Week);
    assert_eq!(weeks, [5.0 * 24.0, 7.0 * 24.0, 24.0]);
    let months = lengths("2026-01-31", "2026-03-02", BucketSize::Month);
    assert_eq!(months, [24.0, 28.0 * 24.0, 24.0]);
}

#[test]
fn a_cell_is_what_the_clock_and_the_calendar_show() {
    let zone = zone("Asia/Kolkata");
    let sunday = cell(at("2026-11-22T23:45", &zone), &zone);
    assert_eq!((sunday.weekday, sunday.hour), (6, 23));
    assert_eq!(offset_seconds(at("2026-11-22", &zone), &zone), 19_800);
}

#[test]
fn the_ends_of_the_calendar_are_no_trap() {
    for size in SIZES {
        for name in ZONES {
            let zone = zone(name);
            for start in [
                Timestamp::MIN,
                Timestamp::MAX.before(std::time::Duration::from_secs(90_000)),
            ] {
                let end = start.saturating_add(std::time::Duration::from_secs(90_000));
                let bounds = bounds(&(start..end), size, &zone, 1_000).expect("few");
                assert!(bounds.is_sorted_by(|a, b| a < b), "{size:?} {name}");
                assert_eq!((bounds.first(), bounds.last()), (Some(&start), Some(&end)));
                assert!(super::start(start, size, &zone) <= start);
            }
        }
    }
    let everything = Timestamp::MIN..Timestamp::MAX;
    assert_eq!(
        bounds(&everything, BucketSize::Day, &TimeZone::UTC, 1_000),
        None
    );
}

/// Times from 1995 to 2030.
fn any_time() -> impl Strategy<Value = Timestamp> {
    let micros = (800_000_000_000_000_i64..1_900_000_000_000_000).prop_map(|micros| micros);
    let full_hours = (222_222_i64..527_777).prop_map(|hour| hour * HOUR_MICROS);
    prop_oneof![micros, full_hours]
        .prop_map(|micros| Timestamp::from_micros(micros).expect("in range"))
}

proptest! {
    #[test]
    fn buckets_cover_the_range_exactly(
        start in any_time(),
        seconds in 1_u64..40 * 86_400,
        size in prop::sample::select(&SIZES),
        name in prop::sample::select(&ZONES),
    ) {
        let zone = zone(name);
        let end = start.saturating_add(std::time::Duration::from_secs(seconds));
        let bounds = bounds(&(start..end), size, &zone, 2_000).expect("few");
        prop_assert!(bounds.is_sorted_by(|a, b| a < b));
        prop_assert_eq!(bounds[0], start);
        prop_assert_eq!(bounds[bounds.len() - 1], end);
        for pair in bounds.windows(2) {
            // Both ends of a bucket are in the same one, and the next begins another.
            let last = pair[1].before(std::time::Duration::from_micros(1));
            let of = |time: Timestamp| super::start(time, size, &zone);
            prop_assert!(size == BucketSize::Whole || of(last) == of(pair[0]));
            if pair[1] < end {
                prop_assert_eq!(of(pair[1]), pair[1]);
            }
            let of = |time: Timestamp| position(&bounds, time.as_micros());
            prop_assert_eq!(of(pair[0]), of(last));
        }
        prop_assert_eq!(position(&bounds, start.as_micros() - 1), None);
        prop_assert_eq!(position(&bounds, end.as_micros()), None);
    }

    #[test]
    fn every_microsecond_is_read_once_from_sums_or_rows(
        start in any_time(),
        seconds in 1_u64..10 * 86_400,
        size in prop::sample::select(&SIZES),
        name in prop::sample::select(&ZONES),
        part in 0.0_f64..1.0,
    ) {
        let zone = zone(name);
        let end = start.saturating_add(std::time::Duration::from_secs(seconds));
        let bounds = bounds(&(start..end), size, &zone, 2_000).expect("few");
        let plan = Plan::of(&bounds);
        let stretches = plan.stretches(&bounds);
        #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "any place will do")]
        let inside = ((end.as_micros() - start.as_micros() - 1) as f64 * part) as i64;
        let edges = bounds.iter().flat_map(|bound| [bound.as_micros() - 1, bound.as_micros()]);
        for micros in edges.chain([start.as_micros() + inside]) {
            let hour = micros.div_euclid(HOUR_MICROS);
            let from_sums = plan.hours.contains(&hour) && !plan.cut.contains(&hour);
            let from_rows = stretches.iter().filter(|stretch| stretch.contains(&micros)).count();
            let expected = usize::from(position(&bounds, micros).is_some());
            prop_assert_eq!(usize::from(from_sums) + from_rows, expected, "{}", micros);
            if from_sums {
                let first = position(&bounds, hour * HOUR_MICROS);
                prop_assert_eq!(first, position(&bounds, (hour + 1) * HOUR_MICROS - 1));
            }
        }
        if size == BucketSize::Day && name == "Europe/Berlin" {
            prop_assert!(plan.cut.len() <= 2, "days of whole hours are cut at the ends of the range only");
        }
    }
}
