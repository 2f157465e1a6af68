//! Reading the journal.

use std::sync::{Arc, LazyLock};

use rusqlite::{Connection, Row};

use super::failure::Failure;
use super::row::{self, CONTENT, COURSE, columns};
use crate::domain::change::{Change, ChangeKind, JournalBounds, SharedChange};
use crate::domain::error::Error;
use crate::domain::notification::Notification;
use crate::domain::word::Vocabulary;

/// A change, with what its notification was like right after it: the columns of the journal, and the contents that were kept when they
/// changed later, or else those that the notification has now. `{}` stands for the condition.
static CHANGES: LazyLock<String> = LazyLock::new(|| {
    format!(
        "SELECT c.seq, c.notification_id, c.kind, c.at, c.actor, c.surface, h.id IS NOT NULL, n.id IS NOT NULL, {}, {}, {}, n.owner
           FROM changes c
           LEFT JOIN notifications n ON n.id = c.notification_id
           LEFT JOIN change_contents h ON h.id = (
                SELECT id FROM change_contents
                 WHERE notification_id = c.notification_id AND until_seq > c.seq - (c.kind = 'deleted')
                 ORDER BY until_seq LIMIT 1)",
        columns("c", &COURSE),
        columns("n", &CONTENT),
        columns("h", &CONTENT),
    )
});
static CHANGES_AFTER: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} WHERE c.seq > ?1 AND c.seq <= ?2 ORDER BY c.seq LIMIT ?3",
        *CHANGES
    )
});
static HISTORY: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{} WHERE c.notification_id = ?1 AND c.seq > ?2 AND c.seq <= ?3 ORDER BY c.seq LIMIT ?4",
        *CHANGES
    )
});

/// The most bytes of notifications that are read at a time, the last one excepted.
const MAX_BYTES: usize = 2 * 1024 * 1024;

const FIRST_COURSE: usize = 8;
const LIVE_CONTENT: usize = FIRST_COURSE + COURSE.len();
const KEPT_CONTENT: usize = LIVE_CONTENT + CONTENT.len();
const OWNER: usize = KEPT_CONTENT + CONTENT.len();

fn change(row: &Row<'_>) -> rusqlite::Result<Change> {
    let sequence = row.get(0)?;
    let id = row.get_ref(1)?.as_i64().unwrap_or(0);
    let kind = ChangeKind::parse(&row::text(row, 2)?)
        .known()
        .unwrap_or(ChangeKind::Updated);
    let kept: bool = row.get(6)?;
    let live: bool = row.get(7)?;
    let content = if kept { KEPT_CONTENT } else { LIVE_CONTENT };
    let notification = row::notification(row, id, sequence, content, FIRST_COURSE)?;
    // What a row said before direct tooling changed it belongs to nobody: it may have been another row with the same id.
    let owner = if kept { None } else { row::owner(row, OWNER)? };
    Ok(Change {
        sequence,
        kind,
        time: row::time(row, 3)?,
        actor: row::text(row, 4)?,
        surface: row::text(row, 5)?,
        notification: Notification {
            owner,
            ..notification
        },
        has_content: kept || live,
    })
}

/// The last sequence that the transaction of `connection` sees: after a change in it, that one's. 0 for an empty journal.
pub(super) fn last(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(seq), 0) FROM changes")?
        .query_row([], |row| row.get(0))
}

/// The first sequence that is kept, when `head` is the last that is published.
pub(super) fn oldest(connection: &Connection, head: i64) -> rusqlite::Result<i64> {
    let oldest: Option<i64> = connection
        .prepare_cached("SELECT min(seq) FROM changes")?
        .query_row([], |row| row.get(0))?;
    Ok(oldest.unwrap_or(head + 1).min(head + 1))
}

/// Reads at most `limit` changes after `after`, up to the published `head`; fewer where they are large.
pub(super) fn changes_after(
    connection: &Connection,
    epoch: &str,
    after: i64,
    head: i64,
    limit: usize,
) -> Result<Vec<SharedChange>, Failure> {
    let bounds = || -> rusqlite::Result<JournalBounds> {
        Ok(JournalBounds {
            epoch: epoch.to_owned(),
            oldest: oldest(connection, head)?,
            head,
        })
    };
    if after > head {
        return Err(Error::UnknownCursor { bounds: bounds()? }.into());
    }
    let mut statement = connection.prepare_cached(&CHANGES_AFTER)?;
    let mut changes: Vec<SharedChange> = Vec::new();
    let mut bytes = 0;
    for row in statement.query_map((after, head, count(limit)), change)? {
        let change = row?;
        bytes += change.notification.size();
        changes.push(Arc::new(change));
        if bytes >= MAX_BYTES {
            break;
        }
    }
    let gap = changes
        .iter()
        .zip(after + 1..)
        .any(|(change, sequence)| change.sequence != sequence);
    // Retention removes the oldest; somebody else may have removed any. In either case skipping in silence would be a lie.
    if gap || (changes.is_empty() && after < head) {
        return Err(Error::SequenceCompacted {
            after,
            bounds: bounds()?,
        }
        .into());
    }
    Ok(changes)
}

/// Reads the changes after `after` up to `head`, which the caller knows to be few. None where one of them is missing.
pub(super) fn read(
    connection: &Connection,
    after: i64,
    head: i64,
) -> rusqlite::Result<Vec<SharedChange>> {
    let changes: Vec<SharedChange> = connection
        .prepare_cached(&CHANGES_AFTER)?
        .query_map((after, head, head - after), |row| change(row).map(Arc::new))?
        .collect::<Result<_, _>>()?;
    let is_whole = changes
        .iter()
        .map(|change| change.sequence)
        .eq(after + 1..=head);
    Ok(if is_whole { changes } else { Vec::new() })
}

/// Reads at most `limit` changes of notification `id` after `after`, up to the published `head`.
pub(super) fn history(
    connection: &Connection,
    id: i64,
    after: i64,
    head: i64,
    limit: usize,
) -> Result<Vec<Change>, Failure> {
    let mut statement = connection.prepare_cached(&HISTORY)?;
    let rows = statement.query_map((id, after, head, count(limit)), change)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A count as SQLite takes it.
pub(super) fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
