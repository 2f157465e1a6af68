//! Two watch as the same consumer, and one of them goes.

use shuttle::{check_random, thread};

use super::*;

const TIMES: usize = 20_000;

fn now() -> Timestamp {
    Timestamp::from_micros(1).expect("in range")
}

/// Fails when `Watchers::leave` removes whoever is there, rather than the one who leaves.
#[test]
fn of_two_who_take_over_one_is_told_and_the_other_stays() {
    check_random(
        || {
            let watchers = Arc::new(Watchers::default());
            let watch = |goes: bool| {
                let watchers = Arc::clone(&watchers);
                thread::spawn(move || {
                    let (key, mut ended) = watchers.take_over("bell", now());
                    if goes {
                        watchers.leave("bell", key);
                    }
                    (key, goes, ended.try_recv().is_ok(), ended)
                })
            };
            let (first, second, third) = (watch(true), watch(false), watch(false));
            let mut all = [first, second, third].map(|thread| thread.join().expect("no panic"));
            all.sort_by_key(|(key, ..)| *key);
            let [older @ .., (_, goes, told, ended)] = &mut all;
            assert!(!*told && ended.try_recv().is_err(), "the newest was ended");
            assert_eq!(watchers.since("bell").is_some(), !*goes);
            for (_, goes, told, ended) in older {
                // Who has gone may have gone before the other came.
                assert!(*goes || *told || ended.try_recv().is_ok(), "never told");
            }
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
            let (_, mut ended) = watchers.take_over("bell", now());
            ending.join().expect("no panic");
            let was_told = ended.try_recv().is_ok();
            assert_eq!(watchers.since("bell").is_some(), !was_told);
        },
        crate::sync::times(TIMES),
    );
}
