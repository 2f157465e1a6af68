//! What somebody was told is safe, and whether it is.

use std::path::Path;

use barista::domain::change::SharedChange;
use barista::domain::notification::Notification;
use barista::domain::notification::filter::{Filter, Order};
use barista::domain::notification::store::{ListQuery, NotificationStore};
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
    let changes = journal(&store).await?;
    for promise in promises {
        keeps(promise, store.epoch(), &changes)?;
    }
    agrees(&store, &changes).await?;
    // And the work goes on.
    let next = real::create(&store, "after the cut", 0).await?;
    let expected = i64::try_from(changes.len()).expect("few") + 1;
    if next.sequence != expected {
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

/// All changes, which must be 1, 2, 3, … without a gap.
async fn journal(store: &dyn NotificationStore) -> Result<Vec<SharedChange>, String> {
    let head = *store.head().borrow();
    let mut all: Vec<SharedChange> = Vec::new();
    loop {
        let after = all.last().map_or(0, |change| change.sequence);
        let page = store.changes_after(after, 500).await;
        // The store itself refuses to skip anything.
        let page = page.map_err(|error| format!("the journal after {after}: {error}"))?;
        if page.is_empty() {
            break;
        }
        all.extend(page);
    }
    let found: Vec<i64> = all.iter().map(|change| change.sequence).collect();
    if found.iter().copied().eq(1..=head) {
        Ok(all)
    } else {
        Err(format!("the journal up to {head} is {found:?}"))
    }
}

fn keeps(promise: &Promise, epoch: &str, changes: &[SharedChange]) -> Result<(), String> {
    let change = |sequence: i64| {
        let index = usize::try_from(sequence - 1).expect("a sequence");
        changes.get(index)
    };
    let kept = match promise {
        Promise::Opened { epoch: promised } => promised == epoch,
        Promise::Stored(notification) => {
            change(notification.sequence).is_some_and(|c| c.notification == **notification)
        }
        Promise::Inserted { sequence, title } => {
            change(*sequence).is_some_and(|change| change.notification.title == *title)
        }
    };
    if kept {
        return Ok(());
    }
    Err(format!("lost: {promise:?}, with {} changes", changes.len()))
}

/// Checks that the rows say what their last changes say.
async fn agrees(store: &dyn NotificationStore, changes: &[SharedChange]) -> Result<(), String> {
    let query = ListQuery {
        filter: Filter::default(),
        order: Order::OldestFirst,
        size: 10_000,
        after: None,
    };
    let page = store.list(query).await.map_err(|error| error.to_string())?;
    let mut last = std::collections::BTreeMap::new();
    for change in changes {
        last.insert(change.notification.id, &change.notification);
    }
    if page.notifications.iter().eq(last.into_values()) {
        return Ok(());
    }
    Err("the rows differ from their last changes".to_owned())
}
