//! Direct tooling: another process at the same database file, which is this one.

use std::ops::Deref;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

/// A connection as the older Python tooling opens it. Everything that can wait for a lock blocks.
pub(crate) struct Foreign(Connection);

impl Foreign {
    pub(crate) fn open(path: &Path) -> Self {
        let connection = Connection::open(path).expect("the database opens");
        connection
            .busy_timeout(Duration::from_secs(30))
            .expect("a busy timeout");
        connection
            .execute_batch("PRAGMA journal_mode = WAL")
            .expect("write-ahead logging");
        Self(connection)
    }

    /// Inserts a pending question as that tooling does: naming eight columns.
    pub(crate) fn insert(&self, title: &str) -> i64 {
        self.0
            .execute(
                "INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at)
                 VALUES ('question', 'normal', ?1, 'written directly', NULL, 'pending', ?2, ?2)",
                params![title, "2025-10-09T12:53:55.123456"],
            )
            .expect("inserted");
        self.0.last_insert_rowid()
    }

    /// Responds as that tooling does, without looking at the state before.
    pub(crate) fn respond(&self, id: i64, response: &str) {
        self.run(&format!(
            "UPDATE notifications SET status = 'responded', user_response = '{response}', updated_at = '2025-10-09T12:54:00' WHERE id = {id}"
        ));
    }

    pub(crate) fn run(&self, sql: &str) {
        self.0
            .execute_batch(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    /// The number in the first column of the first row.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        self.0
            .query_row(sql, [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The text in the first column of the first row.
    pub(crate) fn text(&self, sql: &str) -> String {
        self.0
            .query_row(sql, [], |row| row.get(0))
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Checks what must hold of every database that a daemon leaves: sound pages, a journal without gaps from `oldest` on, and a last
    /// change of each notification that says what the notification says.
    pub(crate) fn check_soundness(&self, oldest: i64) {
        assert_eq!(self.text("PRAGMA integrity_check"), "ok");
        let mut statement = self
            .0
            .prepare("SELECT seq FROM changes ORDER BY seq")
            .expect("a journal");
        let sequences: Vec<i64> = statement
            .query_map([], |row| row.get(0))
            .and_then(Iterator::collect)
            .expect("sequences");
        let expected: Vec<i64> = (oldest..).take(sequences.len()).collect();
        assert_eq!(sequences, expected, "the journal has gaps");
        let disagreeing = self.number(
            "SELECT count(*) FROM notifications n JOIN changes c
                 ON c.seq = (SELECT max(seq) FROM changes WHERE notification_id = n.id)
              WHERE (n.status, n.user_response, n.updated_at) IS NOT (c.status, c.user_response, c.updated_at)",
        );
        assert_eq!(
            disagreeing, 0,
            "notifications differ from their last change"
        );
    }
}

impl Deref for Foreign {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}
