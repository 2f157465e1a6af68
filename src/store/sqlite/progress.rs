//! Signs of life of the writer, for whoever must tell a writer that works or waits from one that is stuck.

use std::sync::Arc;

use rusqlite::Connection;

use crate::sync::atomic::{AtomicU64, Ordering};

/// How many steps of SQLite's virtual machine count as one sign: about a millisecond's work, so a statement that runs for minutes gives many.
const STEPS: i32 = 100_000;

/// A counter that grows while the writer gets on: with each turn of its loop, each look at a lock that another process holds, and now and then
/// within a statement. It stands still while a call to the system does not return.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<AtomicU64>);

impl Progress {
    /// Gives a sign.
    pub(super) fn sign(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many signs there were.
    pub(super) fn signs(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Lets each long statement of `connection` give signs.
    pub(super) fn follow(&self, connection: &Connection) -> rusqlite::Result<()> {
        let progress = self.clone();
        let go_on = move || {
            progress.sign();
            false
        };
        connection.progress_handler(STEPS, Some(go_on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_statement_gives_signs_and_a_short_one_none() {
        let connection = Connection::open_in_memory().expect("a database");
        let progress = Progress::default();
        progress.follow(&connection).expect("followed");
        let count = |up_to: i64| {
            let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT count(*) FROM n";
            connection.query_row(sql, [up_to], |row| row.get::<_, i64>(0))
        };
        assert_eq!(count(10).expect("counted"), 10);
        assert_eq!(progress.signs(), 0);
        assert_eq!(count(100_000).expect("counted"), 100_000);
        assert!(progress.signs() > 1);
    }
}
