//! Forgetting: a few rows at a time, each time in the writer's next batch.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};

use super::consumer::Scene;
use super::database::Database;
use super::failure::Failure;
use super::journal::{self, count};
use super::row;
use super::store::SqliteStore;
use crate::domain::clock::Timestamp;
use crate::domain::error::Result;
use crate::domain::notification::store::Call;
use crate::domain::retention::{Amount, Class, Cut, Policy, RetentionStore, Space, Step, Stepped};

/// Changes whose age is looked at in one read transaction.
const AGE_ROWS: usize = 10_000;
/// Pages that a file keeps free for new data: a MiB. Giving each of them back would move pages for nothing.
const RESERVED_PAGES: i64 = 256;
/// The bytes in them, as pages have 4 KiB unless somebody chose otherwise.
const RESERVED_BYTES: u64 = 1 << 20;
/// Pages that one step gives back.
const RETURNED_PAGES: i64 = 128;
/// What `PRAGMA auto_vacuum` says of a file that can give pages back when it is told to.
pub(super) const INCREMENTAL: i64 = 2;

/// The end states, one after the other. A word that only direct tooling knows is not among them: what it means is not ours to say.
const CLOSED: [&str; 4] = ["responded", "dismissed", "cancelled", "expired"];
/// Places in the walk over closed notifications: the number of the state times this, and the id.
const STATE_SPAN: i64 = 1 << 56;

const JOURNAL: &str = "
    SELECT seq, notification_id,
           8 + coalesce(octet_length(kind), 0) + coalesce(octet_length(at), 0) + coalesce(octet_length(actor), 0)
             + coalesce(octet_length(surface), 0) + coalesce(octet_length(status), 0) + coalesce(octet_length(user_response), 0)
             + coalesce(octet_length(updated_at), 0) + coalesce(octet_length(read_at), 0) + coalesce(octet_length(closed_at), 0)
             + coalesce(octet_length(closed_by), 0) + coalesce(octet_length(closed_surface), 0)
             + coalesce(octet_length(response_options), 0)
      FROM changes WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3";
const CONTENTS: &str = "
    SELECT id, until_seq,
           8 + coalesce(octet_length(type), 0) + coalesce(octet_length(priority), 0) + coalesce(octet_length(title), 0)
             + coalesce(octet_length(message), 0) + coalesce(octet_length(context), 0) + coalesce(octet_length(tags), 0)
             + coalesce(octet_length(options), 0)
      FROM change_contents WHERE id > ?1 ORDER BY id LIMIT ?2";
const NOTIFICATIONS: &str = "
    SELECT id, coalesce(closed_at, updated_at), created_at,
           8 + coalesce(octet_length(title), 0) + coalesce(octet_length(message), 0) + coalesce(octet_length(context), 0)
             + coalesce(octet_length(tags), 0) + coalesce(octet_length(options), 0) + coalesce(octet_length(user_response), 0)
      FROM notifications WHERE status = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
/// What watchers filter by stays until the tombstone goes: they must hear of it. What the notification said goes at once, unless a change that is
/// still in the journal shows it.
const STRIP: &str = "
    UPDATE change_contents SET title = '', message = '', context = NULL, options = NULL, default_response = NULL
     WHERE notification_id = ?1 AND until_seq > ?2
       AND NOT EXISTS (SELECT 1 FROM changes c WHERE c.notification_id = ?1 AND c.seq < change_contents.until_seq)";

/// Rows that go, with what is needed to remove them.
#[derive(Default)]
struct Doomed {
    stepped: Stepped,
    ids: Vec<i64>,
    /// The highest notification that a change of the journal is about.
    highest: i64,
}

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn journal_cut(&self, policy: Policy, call: Call) -> Result<Cut> {
        let old = self.last_old_change(policy, call.now).await?;
        let (epoch, published) = (self.epoch_shared(), self.published());
        let cut = move |connection: &Connection| {
            let head = journal::last(connection)?;
            let most = i64::try_from(policy.journal_max_events).unwrap_or(i64::MAX);
            // The last change stays, so that the sequence goes on after it.
            let wanted = old.max(head.saturating_sub(most)).min(head - 1).max(0);
            let scene = Scene {
                connection,
                epoch: &epoch,
                published,
            };
            let consumers = scene.consumers(0, usize::MAX)?;
            Ok(Cut::of(wanted, &consumers, policy.limits, call.now))
        };
        self.readers().read(cut).await
    }

    async fn survey(&self, step: Step) -> Result<Stepped> {
        let survey = move |connection: &Connection| Ok(doomed(connection, step)?.stepped);
        self.readers().read(survey).await
    }

    async fn remove(&self, mut step: Step, call: Call) -> Result<Stepped> {
        let (epoch, published) = (self.epoch_shared(), self.published());
        let remove = move |connection: &Connection| {
            if step.class == Class::Journal {
                // A consumer may have been made or moved since the cut was found.
                let scene = Scene {
                    connection,
                    epoch: &epoch,
                    published,
                };
                let claim = scene.claim(step.limits, call.now)?;
                step.through = claim
                    .acknowledged
                    .map_or(step.through, |held| held.min(step.through));
            }
            remove(connection, step)
        };
        self.writer().write(call.deadline, 0, remove).await
    }

    async fn return_space(&self, call: Call) -> Result<u64> {
        self.database().return_space(call).await
    }

    async fn space(&self) -> Result<Space> {
        self.database().space().await
    }

    async fn oldest(&self) -> Result<i64> {
        let head = self.published();
        let oldest = move |connection: &Connection| Ok(journal::oldest(connection, head)?);
        self.readers().read(oldest).await
    }
}

impl Database {
    /// See [`RetentionStore::return_space`].
    pub(super) async fn return_space(&self, call: Call) -> Result<u64> {
        let space = self.space().await?;
        if !space.shrinks || space.free <= RESERVED_BYTES {
            return Ok(0);
        }
        self.writer().write(call.deadline, 0, return_pages).await
    }

    /// See [`RetentionStore::space`].
    pub(super) async fn space(&self) -> Result<Space> {
        let space = |connection: &Connection| {
            let pages = pragma(connection, "PRAGMA freelist_count")?;
            let free = pages * pragma(connection, "PRAGMA page_size")?;
            Ok(Space {
                free: free.unsigned_abs(),
                shrinks: pragma(connection, "PRAGMA auto_vacuum")? == INCREMENTAL,
            })
        };
        self.readers().read(space).await
    }
}

impl SqliteStore {
    /// The last old change before the first one that is young; 0 where there is none.
    ///
    /// The order of the journal is true even where its times are not. So a change without a time that can be true (still to come, as after the
    /// clock was set back; or none at all) is as old as the next one that has such a time: by itself it neither goes nor keeps what is around it.
    /// Should no other follow, the number of changes still bounds the journal.
    async fn last_old_change(&self, policy: Policy, now: Timestamp) -> Result<i64> {
        let limit = now.before(policy.journal_max_age);
        let mut walk = Walk::default();
        while !walk.ended {
            let read =
                move |connection: &Connection| Ok(old_changes(connection, walk, limit, now)?);
            walk = self.readers().read(read).await?;
        }
        Ok(walk.old)
    }
}

/// A walk over the journal, in search of what is old.
#[derive(Debug, Clone, Copy, Default)]
struct Walk {
    /// The last change that was looked at.
    at: i64,
    /// The last one that was old.
    old: i64,
    /// Whether there is nothing more to look at.
    ended: bool,
}

/// Walks on over the next changes.
fn old_changes(
    connection: &Connection,
    mut walk: Walk,
    limit: Timestamp,
    now: Timestamp,
) -> rusqlite::Result<Walk> {
    let mut statement = connection
        .prepare_cached("SELECT seq, at FROM changes WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = statement.query((walk.at, count(AGE_ROWS)))?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        walk.at = row.get(0)?;
        seen += 1;
        match row::time(row, 1)?.filter(|at| *at <= now) {
            Some(at) if at > limit => {
                walk.ended = true;
                return Ok(walk);
            }
            Some(_) => walk.old = walk.at,
            None => {}
        }
    }
    walk.ended = seen < AGE_ROWS;
    Ok(walk)
}

/// What the step is about.
fn doomed(connection: &Connection, step: Step) -> rusqlite::Result<Doomed> {
    match step.class {
        Class::Journal => doomed_changes(connection, step),
        Class::Contents => doomed_contents(connection, step),
        Class::Closed => match step.closed_before {
            Some(before) => doomed_notifications(connection, step, before),
            None => Ok(Doomed::default()),
        },
    }
}

fn doomed_changes(connection: &Connection, step: Step) -> rusqlite::Result<Doomed> {
    let mut statement = connection.prepare_cached(JOURNAL)?;
    let mut rows = statement.query((step.after, step.through, count(step.limit)))?;
    let mut doomed = Doomed::default();
    while let Some(row) = rows.next()? {
        doomed.ids.push(row.get(0)?);
        doomed.highest = doomed.highest.max(row.get_ref(1)?.as_i64().unwrap_or(0));
        doomed.stepped.amount += amount(row.get(2)?);
    }
    let is_full = doomed.ids.len() == step.limit;
    doomed.stepped.next = doomed.ids.last().copied().filter(|_| is_full);
    Ok(doomed)
}

/// Content is kept until a sequence, and both grow together: the first row that is still needed is the end.
fn doomed_contents(connection: &Connection, step: Step) -> rusqlite::Result<Doomed> {
    let oldest = journal::oldest(connection, journal::last(connection)?)?;
    let through = step.through.max(oldest - 1);
    let mut statement = connection.prepare_cached(CONTENTS)?;
    let mut rows = statement.query((step.after, count(step.limit)))?;
    let mut doomed = Doomed::default();
    while let Some(row) = rows.next()? {
        if row.get_ref(1)?.as_i64().unwrap_or(0) > through {
            return Ok(doomed);
        }
        doomed.ids.push(row.get(0)?);
        doomed.stepped.amount += amount(row.get(2)?);
    }
    let is_full = doomed.ids.len() == step.limit;
    doomed.stepped.next = doomed.ids.last().copied().filter(|_| is_full);
    Ok(doomed)
}

/// The index by state has the ids in their order, which is that of creation: what was made after `before` was closed after it, too.
fn doomed_notifications(
    connection: &Connection,
    step: Step,
    before: Timestamp,
) -> rusqlite::Result<Doomed> {
    let state = step.after / STATE_SPAN;
    let mut doomed = Doomed::default();
    let Some(word) = usize::try_from(state)
        .ok()
        .and_then(|state| CLOSED.get(state))
    else {
        return Ok(doomed);
    };
    let mut statement = connection.prepare_cached(NOTIFICATIONS)?;
    let mut rows = statement.query((word, step.after % STATE_SPAN, count(step.limit)))?;
    doomed.stepped.next = Some((state + 1) * STATE_SPAN);
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let id: i64 = row.get(0)?;
        if row::time(row, 2)?.is_some_and(|created| created > before && created <= step.now) {
            return Ok(doomed);
        }
        // Where the time is no time, nobody can say that it is old.
        if row::time(row, 1)?.is_some_and(|closed| closed <= before) {
            doomed.ids.push(id);
            doomed.stepped.amount += amount(row.get(3)?);
        }
        seen += 1;
        if seen == step.limit && id < STATE_SPAN {
            doomed.stepped.next = Some(state * STATE_SPAN + id);
        }
    }
    Ok(doomed)
}

fn amount(bytes: i64) -> Amount {
    Amount {
        rows: 1,
        bytes: bytes.unsigned_abs(),
    }
}

fn remove(connection: &Connection, step: Step) -> std::result::Result<Stepped, Failure> {
    let doomed = doomed(connection, step)?;
    match step.class {
        Class::Journal => remove_changes(connection, &doomed)?,
        Class::Contents => {
            let mut delete =
                connection.prepare_cached("DELETE FROM change_contents WHERE id = ?1")?;
            for id in &doomed.ids {
                delete.execute([id])?;
            }
        }
        Class::Closed => remove_notifications(connection, &doomed.ids)?,
    }
    Ok(doomed.stepped)
}

fn remove_changes(connection: &Connection, doomed: &Doomed) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM changes WHERE seq = ?1")?;
    for seq in &doomed.ids {
        delete.execute([seq])?;
    }
    // The reconciliation after a rebuilt table takes what is in no change for new, unless it knows better.
    connection
        .prepare_cached("UPDATE barista_meta SET value = ?1 WHERE key = 'known_id' AND value < ?1")?
        .execute([doomed.highest])
        .map(drop)
}

fn remove_notifications(connection: &Connection, ids: &[i64]) -> rusqlite::Result<()> {
    let mut delete = connection.prepare_cached("DELETE FROM notifications WHERE id = ?1")?;
    let mut sign = connection.prepare_cached(
        "UPDATE changes SET actor = 'baristad', surface = 'retention' WHERE seq = ?1 AND notification_id = ?2 AND kind = 'deleted'",
    )?;
    let mut strip = connection.prepare_cached(STRIP)?;
    for id in ids {
        let head = journal::last(connection)?;
        delete.execute([id])?;
        sign.execute([head + 1, *id])?;
        strip.execute([*id, head])?;
    }
    Ok(())
}

/// Gives free pages back, and returns their bytes.
fn return_pages(connection: &Connection) -> std::result::Result<u64, Failure> {
    let free = pragma(connection, "PRAGMA freelist_count")?;
    let most = (free - RESERVED_PAGES).min(RETURNED_PAGES);
    if most <= 0 {
        return Ok(0);
    }
    let before = pragma(connection, "PRAGMA page_count")?;
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({most})"))?;
    let mut rows = statement.query([])?;
    // Each step gives one page back.
    while rows.next()?.is_some() {}
    let page_size = pragma(connection, "PRAGMA page_size")?;
    let returned = (before - pragma(connection, "PRAGMA page_count")?) * page_size;
    Ok(u64::try_from(returned).unwrap_or(0))
}

pub(super) fn pragma(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    let value = connection
        .prepare(sql)?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(value.unwrap_or(0))
}
