//! Two watch as the same consumer, and one of them goes.

use shuttle::{check_random, thread};

use super::*;

const TIMES: usize = 20_000;

fn now() -> Timestamp {
    Timestamp::from_micros(1).expect("in range")
}

/// Fails when leaving removes whoever is there, rather than the one who leaves, and when an older watch may come after a newer one.
#[test]
fn of_three_watches_the_newest_stays_and_the_others_are_told() {
    check_random(
        || {
            let watchers = Arc::new(Watchers::default());
            let watch = |number: i64, goes: bool| {
                let watchers = Arc::clone(&watchers);
                thread::spawn(move || {
                    let hold = watchers.take_over("bell".to_owned(), number, now());
                    if goes { None } else { Some(hold) }
                })
            };
            let (oldest, older, newest) = (watch(1, true), watch(2, false), watch(3, false));
            assert!(oldest.join().expect("no panic").is_none());
            let older = older.join().expect("no panic").expect("it stays");
            let newest = newest.join().expect("no panic").expect("it stays");
            let mut newest = newest.expect("nobody is newer");
            assert!(newest.has_ended().is_none(), "the newest was ended");
            assert!(watchers.since("bell").is_some());
            let told = older.map_or(true, |mut older| older.has_ended().is_some());
            assert!(told, "the older was never told");
        },
        crate::sync::times(TIMES),
    );
}

/// Fails when `Watchers::end` tells the watcher and leaves it in its place.
#[test]
fn an_end_meets_whoever_watches_or_nobody() {
    check_random(
        || {
            let watchers = Arc::new(Watchers::default());
            let other = Arc::clone(&watchers);
            let ending = thread::spawn(move || {
                let name = "bell".to_owned();
                other.end("bell", Error::ConsumerReset { name });
            });
            let hold = watchers.take_over("bell".to_owned(), 1, now());
            let mut hold = hold.expect("nobody is newer");
            ending.join().expect("no panic");
            let was_told = hold.has_ended().is_some();
            assert_eq!(watchers.since("bell").is_some(), !was_told);
        },
        crate::sync::times(TIMES),
    );
}
