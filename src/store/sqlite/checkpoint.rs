//! Moving the write-ahead log into the database file.
//!
//! The writer does it itself, early and often: a foreign process does it from 1,000 frames on, and the SQLite in it may be one that
//! resets the log wrongly.

use std::cell::Cell;
use std::time::Duration;

use rusqlite::Connection;

use super::connection::BUSY_TIMEOUT;
use crate::domain::admin::{CheckpointMode, CheckpointOutcome, WalFrames};

/// How long a truncating checkpoint waits for readers. The writer stands still meanwhile.
const TRUNCATE_WAIT: Duration = Duration::from_millis(200);

thread_local! {
    /// Frames in the log after the last commit of this thread's connection.
    static FRAMES: Cell<i64> = const { Cell::new(0) };
}

/// Counts the frames of each commit on `connection`, for [`frames`]. The hook that SQLite would checkpoint with by itself is replaced.
pub(super) fn count_frames(connection: &Connection) {
    connection.wal_hook(Some(|_, frames| {
        FRAMES.set(i64::from(frames));
        Ok(())
    }));
}

/// Frames in the log after the last commit on this thread.
pub(super) fn frames() -> i64 {
    FRAMES.get()
}

/// Runs a checkpoint.
pub(super) fn checkpoint(
    connection: &Connection,
    mode: CheckpointMode,
) -> rusqlite::Result<CheckpointOutcome> {
    match mode {
        CheckpointMode::Passive => run(connection, "PRAGMA wal_checkpoint(PASSIVE)"),
        CheckpointMode::Truncate => {
            connection.busy_timeout(TRUNCATE_WAIT)?;
            let outcome = run(connection, "PRAGMA wal_checkpoint(TRUNCATE)");
            connection.busy_timeout(BUSY_TIMEOUT)?;
            let outcome = outcome?;
            if !outcome.busy {
                FRAMES.set(0);
            }
            Ok(outcome)
        }
    }
}

/// The extent of the log, without changing anything.
pub(super) fn extent(connection: &Connection) -> rusqlite::Result<WalFrames> {
    run(connection, "PRAGMA wal_checkpoint(NOOP)").map(|outcome| outcome.frames)
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<CheckpointOutcome> {
    connection.prepare_cached(sql)?.query_row([], |row| {
        let busy: i64 = row.get(0)?;
        // -1 stands for a file without a log.
        let count = |index| row.get(index).map(|frames: i64| frames.max(0));
        let frames = WalFrames {
            log: count(1)?,
            checkpointed: count(2)?,
        };
        Ok(CheckpointOutcome {
            busy: busy != 0,
            frames,
        })
    })
}
