//! What somebody was told is safe, and whether it is.

use std::collections::BTreeMap;
use std::path::Path;

use barista::domain::change::{Change, ChangeKind, JournalBounds, SharedChange};
use barista::domain::consumer::store::ConsumerStore;
use barista::domain::consumer::{Consumer, SetAside};
use barista::domain::error::Error;
use barista::domain::notification::Notification;
use barista::domain::notification::filter::{Filter, Order};
use barista::domain::notification::store::{ListQuery, NotificationStore};
use barista::store::sqlite::SqliteStore;
use rusqlite::Connection;
use tempfile::TempDir;

use crate::disk::Files;
use crate::real::{self, DATABASE};

/// What somebody was told.
#[derive(Debug, Clone)]
pub(crate) enum Promise {
    /// The store is open: whoever knows its epoch has a place in its journal.
    Opened { epoch: String },
    /// A notification is as a change has made it.
    Stored(Box<Notification>),
    /// Direct tooling has stored a row, which became this change.
    Inserted { sequence: i64, title: String },
    /// A consumer stands there.
    Consumer(Box<Consumer>),
    /// A consumer has set a change aside.
    SetAside { name: String, event: SetAside },
    /// A change is no longer on the list of what a consumer has set aside.
    Discarded { name: String, sequence: i64 },
    /// From now on the journal may lack the changes up to `through`, and what was closed may be gone.
    MayForget { through: i64 },
    /// The journal begins there, and all that was closed before is gone.
    Forgotten { oldest: i64 },
}

/// Opens what a power cut has left with the real store, and says what is wrong with it.
pub(crate) async fn check(files: &Files, promises: &[&Promise]) -> Result<(), String> {
    let home = memory_directory();
    let directory = home.path().join("data");
    std::fs::create_dir(&directory).expect("a directory");
    for (name, content) in files {
        std::fs::write(directory.join(name), content).expect("a file");
    }
    let verdict = check_in(&directory, promises).await;
    verdict.map_err(|loss| {
        let sizes: Vec<(&String, usize)> = files.iter().map(|(n, c)| (n, c.len())).collect();
        format!("{loss}; the files were {sizes:?}")
    })
}

/// A directory in memory, where the system has one: the syncs that count were recorded before, and those of a recovery take long.
fn memory_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a temporary directory")
}

async fn check_in(directory: &Path, promises: &[&Promise]) -> Result<(), String> {
    let store = real::open(directory).map_err(|error| format!("it does not open: {error}"))?;
    let journal = Journal::read(&store, promises).await?;
    for promise in promises {
        let kept = keeps(promise, promises, &store, &journal).await;
        if !kept.map_err(|error| format!("{promise:?}: {error}"))? {
            let (oldest, head) = (journal.oldest, journal.head);
            return Err(format!(
                "lost: {promise:?}, with changes {oldest} to {head}"
            ));
        }
    }
    agrees(&store, &journal).await?;
    // And the work goes on.
    let next = real::create(&store, "after the cut", 0).await?;
    if next.sequence != journal.head + 1 {
        return Err(format!("the journal goes on with {}", next.sequence));
    }
    store.close();
    drop(store);
    let database = Connection::open(directory.join(DATABASE)).map_err(|e| e.to_string())?;
    let sound: String = database
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| error.to_string())?;
    if sound == "ok" { Ok(()) } else { Err(sound) }
}

/// What is left of the journal.
struct Journal {
    changes: Vec<SharedChange>,
    oldest: i64,
    head: i64,
}

impl Journal {
    /// Reads all changes, which must be there without a gap, from the first one that nobody was allowed to forget.
    async fn read(store: &dyn NotificationStore, promises: &[&Promise]) -> Result<Self, String> {
        let failed = |error: Error| error.to_string();
        let JournalBounds { oldest, head, .. } = store.bounds().await.map_err(failed)?;
        let forgettable = promises.iter().filter_map(|promise| match promise {
            Promise::MayForget { through } => Some(*through),
            _ => None,
        });
        let allowed = forgettable.max().unwrap_or(0) + 1;
        if oldest > allowed {
            return Err(format!(
                "the journal begins with {oldest}, and may with {allowed}"
            ));
        }
        let mut changes: Vec<SharedChange> = Vec::new();
        loop {
            let after = changes.last().map_or(oldest - 1, |change| change.sequence);
            let page = store.changes_after(after, 500).await;
            // The store itself refuses to skip anything.
            let page = page.map_err(|error| format!("the journal after {after}: {error}"))?;
            if page.is_empty() {
                break;
            }
            changes.extend(page);
        }
        let found: Vec<i64> = changes.iter().map(|change| change.sequence).collect();
        if found.iter().copied().eq(oldest..=head) {
            Ok(Self {
                changes,
                oldest,
                head,
            })
        } else {
            Err(format!("the journal from {oldest} to {head} is {found:?}"))
        }
    }

    /// Whether the change `sequence` satisfies `is_right`, where it is not forgotten.
    fn has(&self, sequence: i64, is_right: impl Fn(&Change) -> bool) -> bool {
        match usize::try_from(sequence - self.oldest) {
            Ok(index) => self
                .changes
                .get(index)
                .is_some_and(|change| is_right(change)),
            // The first change that is there was checked: this one was forgotten with leave.
            Err(_) => true,
        }
    }
}

async fn keeps(
    promise: &Promise,
    promises: &[&Promise],
    store: &SqliteStore,
    journal: &Journal,
) -> Result<bool, Error> {
    Ok(match promise {
        Promise::Opened { epoch } => epoch == NotificationStore::epoch(store),
        Promise::Stored(stored) => {
            journal.has(stored.sequence, |c| c.notification == **stored)
                && is_there(stored, promises, store).await
        }
        Promise::Inserted { sequence, title } => {
            journal.has(*sequence, |change| change.notification.title == *title)
        }
        Promise::Consumer(told) => {
            let found = store.consumer(&told.name).await?;
            let place = |consumer: &Consumer| (consumer.generation, consumer.acknowledged);
            // Forwards within a generation, and never beyond what is there.
            place(&found.consumer) >= place(told) && !found.is_elsewhere()
        }
        Promise::SetAside { name, event } => {
            let events = store.list_set_aside(name, event.sequence - 1, 1).await?;
            let place = store.consumer(name).await?.consumer.acknowledged;
            events.first() == Some(event) && place >= event.sequence
        }
        Promise::Discarded { name, sequence } => {
            let events = store.list_set_aside(name, sequence - 1, 1).await?;
            events
                .first()
                .is_none_or(|event| event.sequence > *sequence)
        }
        Promise::MayForget { .. } => true,
        Promise::Forgotten { oldest } => journal.oldest >= *oldest,
    })
}

/// Whether the row is there; it may be gone where it was closed before somebody was allowed to forget.
async fn is_there(stored: &Notification, promises: &[&Promise], store: &SqliteStore) -> bool {
    match store.get(stored.id).await {
        Ok(found) => found.title == stored.title && (found.is_closed() || stored.is_open()),
        Err(_) => {
            let is_closing = |promise: &&Promise| matches!(promise, Promise::Stored(told) if told.id == stored.id && told.is_closed());
            let closed = promises.iter().position(is_closing);
            let is_leave = |promise: &&Promise| matches!(promise, Promise::MayForget { .. });
            closed.is_some_and(|closed| promises[closed..].iter().any(is_leave))
        }
    }
}

/// Checks that the rows say what their last changes say.
async fn agrees(store: &dyn NotificationStore, journal: &Journal) -> Result<(), String> {
    let query = ListQuery {
        filter: Filter::default(),
        order: Order::OldestFirst,
        size: 10_000,
        after: None,
    };
    let page = store.list(query).await.map_err(|error| error.to_string())?;
    let mut rows: BTreeMap<i64, &Notification> = BTreeMap::new();
    for row in &page.notifications {
        rows.insert(row.id, row);
    }
    let mut last: BTreeMap<i64, &SharedChange> = BTreeMap::new();
    for change in &journal.changes {
        last.insert(change.notification.id, change);
    }
    for (id, change) in &last {
        let is_right = match rows.get(id) {
            Some(row) => **row == change.notification,
            None => change.kind == ChangeKind::Deleted,
        };
        if !is_right {
            let sequence = change.sequence;
            return Err(format!("row {id} differs from its last change, {sequence}"));
        }
    }
    // What has no change any more was there before the journal begins.
    let unknown = rows.keys().find(|id| !last.contains_key(id));
    match unknown {
        Some(id) if journal.oldest == 1 => Err(format!("nothing tells of row {id}")),
        _ => Ok(()),
    }
}
