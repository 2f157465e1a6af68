//! What is special to each of the databases. All of them share the writer thread, the readers, the checks and the backups.

use rusqlite::Connection;

use super::offline::{self, GivenOut};
use super::{journal, reconcile, schema};
use crate::domain::change::SharedChange;

/// What one of the databases contains.
pub(super) struct Contents {
    /// The name of its file.
    pub(super) file: &'static str,
    /// The name of its writer thread, at most 15 bytes.
    pub(super) thread: &'static str,
    /// Its migrations, in order. A released one never changes: append.
    pub(super) migrations: &'static [&'static str],
    /// The table of what it is all about.
    pub(super) records: &'static str,
    /// The table of its changes.
    pub(super) journal: &'static str,
    /// An index that shows that we have been in a file, even if `barista_meta` is gone.
    pub(super) telltale: &'static str,
    /// The last sequence that a transaction sees: after a change in it, that one's. 0 for an empty journal.
    pub(super) last: fn(&Connection) -> rusqlite::Result<i64>,
    /// The first sequence that is kept, where the given one is the last that is published.
    pub(super) oldest: fn(&Connection, i64) -> rusqlite::Result<i64>,
    /// The changes between two sequences that are few, for those who follow the journal; none where readers read them.
    pub(super) read_ahead: fn(&Connection, i64, i64) -> rusqlite::Result<Vec<SharedChange>>,
    /// Selects when the last change was made, by the clock of whoever made it; `None` where changes have no time.
    pub(super) newest: Option<&'static str>,
    /// What somebody may have deleted from `barista_meta`, as the migrations put it there: the version apart, which cannot be guessed.
    pub(super) seed: &'static str,
    /// Columns that count something, as in `column consumers.set_aside`, and how to count again when one came back empty.
    pub(super) recounts: &'static [(&'static str, &'static str)],
    /// The table that direct tooling may change and rebuild, where there is one.
    pub(super) shared: Option<Shared>,
    /// The numbers that it has given out, which must not mean something else in what takes its place.
    pub(super) given_out: fn(&Connection) -> rusqlite::Result<GivenOut>,
    /// Makes a copy go on after the numbers that were given out.
    pub(super) go_on_after: fn(&Connection, GivenOut) -> rusqlite::Result<()>,
    /// Prepares a file in which we have not been, inside the transaction of the first migration.
    pub(super) adopt: fn(&Connection) -> rusqlite::Result<()>,
}

/// The table that direct tooling may change and rebuild.
pub(super) struct Shared {
    /// Its name.
    pub(super) table: &'static str,
    /// What it has had ever since.
    pub(super) columns: &'static [&'static str],
    /// Records what happened to it while no trigger was there to see it; is given the columns that were lost.
    pub(super) reconcile: fn(&Connection, &[&str]) -> rusqlite::Result<()>,
}

/// The notifications.
pub(super) static NOTIFICATIONS: Contents = Contents {
    file: super::store::NOTIFICATIONS_FILE,
    thread: "sqlite-writer",
    migrations: &[
        include_str!("migrations/notifications/0001_journal.sql"),
        include_str!("migrations/notifications/0002_consumers.sql"),
        include_str!("migrations/notifications/0003_owner.sql"),
        include_str!("migrations/notifications/0004_watches.sql"),
    ],
    records: "notifications",
    journal: "changes",
    telltale: "idx_changes_notification",
    last: journal::last,
    oldest: journal::oldest,
    read_ahead: journal::read,
    newest: Some("SELECT at FROM changes ORDER BY seq DESC LIMIT 1"),
    seed: "INSERT OR IGNORE INTO barista_meta (key, value) VALUES
        ('epoch', lower(hex(randomblob(16)))),
        ('known_id', (SELECT coalesce(max(notification_id), 0) FROM changes)),
        ('heartbeat', 0),
        ('consumer_generation', (SELECT coalesce(max(max(generation, watch)), 0) FROM consumers))",
    recounts: &[(
        "column consumers.set_aside",
        "UPDATE consumers SET set_aside = (SELECT count(*) FROM set_aside WHERE consumer_id = consumers.id)",
    )],
    shared: Some(Shared {
        table: "notifications",
        columns: &[
            "id",
            "type",
            "priority",
            "title",
            "message",
            "context",
            "status",
            "user_response",
            "created_at",
            "updated_at",
        ],
        reconcile: reconcile::reconcile,
    }),
    given_out: offline::notifications_given_out,
    go_on_after: offline::notifications_go_on_after,
    adopt: schema::drop_copied,
};

/// All databases.
static ALL: [&Contents; 2] = [&NOTIFICATIONS, &super::telemetry::TELEMETRY];

impl Contents {
    /// What the file called `name` should contain; the notifications for a name that is none of ours.
    pub(super) fn of_file(name: &str) -> &'static Self {
        let found = ALL.iter().find(|contents| contents.file == name);
        found.copied().unwrap_or(&NOTIFICATIONS)
    }

    /// What the file behind `connection` contains, whatever it is called; the notifications where that does not show.
    pub(super) fn recognize(connection: &Connection) -> rusqlite::Result<&'static Self> {
        let has = |contents: &Self| {
            let table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1";
            connection.prepare(table)?.exists([contents.journal])
        };
        for contents in ALL {
            if has(contents)? {
                return Ok(contents);
            }
        }
        Ok(&NOTIFICATIONS)
    }

    /// The newest version of its schema.
    pub(super) fn version(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }
}
