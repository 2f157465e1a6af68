use clap::Parser;

use super::*;
use crate::args::{Cli, Command};
use crate::time::tests::noon;

/// From when to when `words` ask, at noon of 1 March 2026, a Sunday.
fn range(words: &[&str]) -> (String, Option<i64>) {
    let typed = Cli::try_parse_from([&["barista", "stats"], words].concat()).expect("valid");
    let Command::Stats(stats) = typed.command else {
        panic!("another command");
    };
    let oldest = "2026-02-10T23:30:00Z".parse().ok();
    let question = stats.settle(noon(), oldest).expect("settled");
    let start = question.scope.start_time.as_ref().and_then(convert);
    let start = start.expect("a start").to_string();
    (start, question.scope.end_time.map(|end| end.seconds))
}

fn start(words: &[&str]) -> String {
    range(words).0
}

#[test]
fn a_span_goes_back_to_the_start_of_a_bucket() {
    assert_eq!(start(&[]), "2026-02-22T00:00:00Z");
    assert_eq!(
        start(&["--since", "90m", "--bucket", "hour"]),
        "2026-03-01T10:00:00Z"
    );
    assert_eq!(
        start(&["--since", "1d", "--bucket", "week"]),
        "2026-02-23T00:00:00Z"
    );
    assert_eq!(
        start(&["--since", "1d", "--bucket", "month"]),
        "2026-02-01T00:00:00Z"
    );
    assert_eq!(
        start(&["--since", "1d", "--tz", "Asia/Kolkata"]),
        "2026-02-27T18:30:00Z"
    );
    assert_eq!(
        start(&["latency", "--since", "1d", "--tz", "Asia/Kolkata"]),
        "2026-02-28T12:00:00Z"
    );
    assert_eq!(start(&["--since", "all"]), "2026-02-10T00:00:00Z");
}

#[test]
fn a_date_is_that_of_the_zone_that_is_named() {
    let (start, end) = range(&[
        "--since",
        "2026-02-01",
        "--until",
        "2026-02-02T12:00",
        "--tz",
        "Europe/Berlin",
    ]);
    assert_eq!(start, "2026-01-31T23:00:00Z");
    assert_eq!(end, Some(1_770_030_000));
    assert_eq!(
        range(&["--since", "2026-02-01T10:00:00+02:00"]),
        ("2026-02-01T08:00:00Z".to_owned(), None)
    );
}

#[test]
fn nonsense_is_refused_with_an_example() {
    for typed in ["", "yesterday", "12", "2026-13-01", "-1d"] {
        let error = moment(typed).expect_err(typed);
        assert!(error.contains("2026-03-01"), "{error}");
    }
}
