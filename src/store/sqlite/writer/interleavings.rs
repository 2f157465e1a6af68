//! The writer reads ahead and publishes while somebody follows.

use shuttle::{check_random, thread};

use super::*;
use crate::domain::feed::interleavings::change;

const TIMES: usize = 10_000;
const COMMITS: i64 = 4;

/// Fails when `Shared::ahead_after` hands out changes without comparing them with the head.
#[test]
fn what_was_read_ahead_is_handed_out_only_when_it_is_published_and_without_gaps() {
    check_random(
        || {
            let shared = Arc::new(Shared::new(0));
            let writer = Arc::clone(&shared);
            let writing = thread::spawn(move || {
                for commit in 0..COMMITS {
                    let last = 2 * commit + 2;
                    writer.keep_ahead(vec![change(last - 1), change(last)]);
                    // Between the two is the commit; one of them is not read ahead.
                    thread::yield_now();
                    writer.head.send_replace(last);
                }
            });
            let mut after = 0;
            for _ in 0..3 * COMMITS {
                let Some(changes) = shared.ahead_after(after, 10) else {
                    thread::yield_now();
                    continue;
                };
                for change in changes {
                    assert_eq!(change.sequence, after + 1, "a gap");
                    after = change.sequence;
                }
                assert!(after <= *shared.head.borrow(), "not published");
            }
            writing.join().expect("no panic");
        },
        crate::sync::times(TIMES),
    );
}
