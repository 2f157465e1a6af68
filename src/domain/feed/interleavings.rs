//! Commits, followers and waits, in whatever order: nobody misses a change, sees one twice, or waits for one that has been.
//!
//! A test that waits in vain is reported as a deadlock, with what repeats it.

use async_trait::async_trait;
use shuttle::{check_random, future, thread};

use super::super::authority::Authority;
use super::super::change::{Change, JournalBounds};
use super::super::clock::{Clock, Timestamp};
use super::super::notification::draft::NewNotification;
use super::super::notification::filter::Filter;
use super::super::notification::store::{Call, Expired, ListQuery, Move, Page, Respond, Snapshot};
use super::super::notification::{Notification, State};
use super::super::notifications::Notifications;
use super::super::word::Word;
use super::*;

const TIMES: usize = 3_000;
/// The notification that a change closes.
const QUESTION: i64 = 1;

/// A change that is no end, except that every second one closes [`QUESTION`].
pub(crate) fn change(sequence: i64) -> SharedChange {
    let closes = sequence % 2 == 0;
    let state = if closes {
        State::Responded
    } else {
        State::Pending
    };
    Arc::new(Change {
        sequence,
        kind: if closes {
            ChangeKind::Responded
        } else {
            ChangeKind::Created
        },
        time: None,
        actor: String::new(),
        surface: String::new(),
        notification: notification(state, sequence),
        has_content: true,
    })
}

fn notification(state: State, sequence: i64) -> Notification {
    Notification {
        sequence,
        ..Notification::blank(QUESTION, Word::Known(state))
    }
}

/// A journal in memory: the real store has a thread and a file, which shuttle cannot hold up.
struct Memory {
    journal: Mutex<Vec<SharedChange>>,
    head: watch::Sender<i64>,
}

impl Memory {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            journal: Mutex::new(Vec::new()),
            head: watch::Sender::new(0),
        })
    }

    /// Commits `count` changes, and publishes them then.
    fn commit(&self, count: i64) {
        let mut journal = self.journal.lock().expect("no panic");
        let head = journal.last().map_or(0, |change| change.sequence);
        journal.extend((head + 1..=head + count).map(change));
        drop(journal);
        self.head.send_replace(head + count);
    }
}

#[async_trait]
impl NotificationStore for Memory {
    async fn get(&self, _: i64) -> Result<Notification> {
        let journal = self.journal.lock().expect("no panic");
        let last = journal.last().map(|change| change.notification.clone());
        Ok(last.unwrap_or_else(|| notification(State::Pending, 0)))
    }

    fn head(&self) -> watch::Receiver<i64> {
        self.head.subscribe()
    }

    fn set_followed(&self, _: bool) {}

    fn epoch(&self) -> &str {
        "epoch"
    }

    async fn changes_after(&self, after: i64, limit: usize) -> Result<Vec<SharedChange>> {
        let journal = self.journal.lock().expect("no panic");
        let later = journal.iter().filter(|change| change.sequence > after);
        Ok(later.take(limit).cloned().collect())
    }

    async fn create(&self, _: Vec<NewNotification>, _: Call) -> Result<Vec<Notification>> {
        unused()
    }
    async fn list(&self, _: ListQuery) -> Result<Page> {
        unused()
    }
    async fn respond(&self, _: Respond, _: Call) -> Result<Notification> {
        unused()
    }
    async fn transition(&self, _: Move, _: Call) -> Result<Notification> {
        unused()
    }
    async fn expire_due(&self, _: usize, _: Call) -> Result<Expired> {
        unused()
    }
    async fn count_open(&self, _: usize) -> Result<usize> {
        unused()
    }
    async fn bounds(&self) -> Result<JournalBounds> {
        unused()
    }
    async fn history(&self, _: i64, _: i64, _: usize) -> Result<Vec<Change>> {
        unused()
    }
    async fn snapshot(&self, _: Filter, _: usize) -> Result<Snapshot> {
        unused()
    }
}

fn unused<T>() -> Result<T> {
    Err(Error::Internal("nothing here calls this".to_owned()))
}

struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1).expect("in range")
    }
}

fn everything() -> ChangeFilter {
    ChangeFilter {
        kinds: Vec::new(),
        notifications: Filter::default(),
    }
}

/// Runs `check` in many interleavings, beside the task that runs the feed, where timers exist and never end.
fn explore(check: impl Fn(Arc<Memory>, Arc<Notifications>) + Send + Sync + 'static) {
    let clock = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let _entered = clock.enter();
    check_random(
        move || {
            let memory = Memory::new();
            let store = Arc::clone(&memory) as Arc<dyn NotificationStore>;
            let notifications = Arc::new(Notifications::new(store, Arc::new(Still)));
            let stop = CancellationToken::new();
            let (feed, ear) = (Arc::clone(notifications.feed()), stop.clone());
            let running = thread::spawn(move || future::block_on(feed.run(ear)));
            check(memory, notifications);
            stop.cancel();
            running.join().expect("no panic");
        },
        crate::sync::times(TIMES),
    );
}

/// Fails when `Notifications::wait` reads the state before it registers, or `Tail::skip_to` wakes nobody.
#[test]
fn a_wait_hears_of_an_end_whenever_it_comes() {
    explore(|memory, notifications| {
        let waiting = thread::spawn(move || {
            let stop = CancellationToken::new();
            let hours = Duration::from_secs(10_000);
            future::block_on(notifications.wait(QUESTION, Authority::Person, hours, &stop))
        });
        memory.commit(1);
        memory.commit(1);
        let ended = waiting.join().expect("no panic").expect("an end");
        assert!(ended.is_closed());
        assert_eq!(ended.sequence, 2);
    });
}

/// Fails when `Feed::advance` returns before it has published what it read.
#[test]
fn followers_who_come_and_go_see_each_change_once_and_in_order() {
    explore(|memory, notifications| {
        let follow = |count: i64| {
            let feed = Arc::clone(notifications.feed());
            thread::spawn(move || {
                let mut follower = feed.follow(0, everything());
                let mut seen = 0;
                while seen < count {
                    let batch = future::block_on(follower.next()).expect("changes");
                    for change in batch.changes {
                        assert_eq!(change.sequence, seen + 1);
                        seen += 1;
                    }
                    assert_eq!(follower.sequence(), seen);
                }
            })
        };
        // The first goes early, and nobody may follow for a while.
        let (first, second) = (follow(1), follow(6));
        for count in [1, 2, 3] {
            memory.commit(count);
        }
        first.join().expect("no panic");
        second.join().expect("no panic");
        assert_eq!(notifications.feed().followers(), 0);
    });
}
