//! Numbered migrations, and the repair of what other tools removed from the schema.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use super::contents::{Contents, Shared};
use super::failure::OpenError;
use crate::failpoint::failpoint;

/// How a migration adds a column to the table that direct tooling shares: one line for each.
const ADD_COLUMN: &str = "ALTER TABLE notifications ADD COLUMN ";

/// Brings the file behind `connection` to the newest version, in one transaction. Returns that version.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    contents: &'static Contents,
) -> Result<i64, OpenError> {
    let known = contents.version();
    let found = version(connection).map_err(|source| OpenError::of(path, source))?;
    if found > known {
        return Err(OpenError::FromTheFuture {
            file: path.display().to_string(),
            found,
            known,
        });
    }
    if found == known {
        return Ok(known);
    }
    if lost_version(connection, contents, found).map_err(|source| OpenError::of(path, source))? {
        return Err(OpenError::Damaged {
            file: path.display().to_string(),
            finding: VERSION_LOST.to_owned(),
        });
    }
    let foreign =
        foreign(connection, contents, found).map_err(|source| OpenError::of(path, source))?;
    if let Some(foreign) = foreign {
        let file = path.display().to_string();
        return Err(OpenError::Foreign { file, foreign });
    }
    let upgrade = |connection: &mut Connection| -> rusqlite::Result<()> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read again inside the transaction: another process may have upgraded meanwhile.
        let done = usize::try_from(version(&transaction)?).unwrap_or(0);
        if done == 0 {
            (contents.adopt)(&transaction)?;
        }
        for migration in contents.migrations.iter().skip(done) {
            transaction.execute_batch(&without_present(&transaction, contents, migration)?)?;
        }
        transaction.execute(
            "INSERT OR REPLACE INTO barista_meta (key, value) VALUES ('schema_version', ?1)",
            [known],
        )?;
        failpoint!("migrating");
        transaction.commit()?;
        failpoint!("migrated");
        Ok(())
    };
    upgrade(connection).map_err(|source| match OpenError::of(path, source) {
        OpenError::Sqlite { file, source } => OpenError::Upgrade {
            file,
            version: known,
            source,
        },
        told => told,
    })?;
    Ok(known)
}

/// What is wrong with the shared table of a file in which we have not been: the table of another program that happens to have its name. `None` where it
/// is missing, or like ours.
pub(super) fn foreign(
    connection: &Connection,
    contents: &Contents,
    version: i64,
) -> rusqlite::Result<Option<String>> {
    let Some(shared) = &contents.shared else {
        return Ok(None);
    };
    let present = columns(connection, shared.table)?;
    if version > 0 || present.is_empty() {
        return Ok(None);
    }
    let lacks = |name: &&&str| present.iter().all(|column| column.name != ***name);
    let missing: Vec<&str> = shared.columns.iter().filter(lacks).copied().collect();
    Ok((!missing.is_empty()).then(|| {
        let (columns, are) = match missing.len() {
            1 => ("column", "is"),
            _ => ("columns", "are"),
        };
        let missing = missing.join(", ");
        let table = shared.table;
        format!("a table `{table}` that is not Barista's: {columns} {missing} {are} missing")
    }))
}

/// Drops our indexes and triggers from a file that we have not been in: they came with a table that was copied alone.
pub(super) fn drop_copied(connection: &Connection) -> rusqlite::Result<()> {
    for Object { kind, name, .. } in objects(connection)? {
        let ours = match kind.as_str() {
            "index" => name.starts_with("idx_barista_"),
            "trigger" => name.starts_with("barista_notifications_"),
            _ => false,
        };
        if ours {
            let name = name.replace('"', "\"\"");
            connection.execute_batch(&format!("DROP {kind} \"{name}\""))?;
        }
    }
    Ok(())
}

/// `migration` without the columns that the shared table has already, where it was copied alone.
fn without_present(
    connection: &Connection,
    contents: &Contents,
    migration: &str,
) -> rusqlite::Result<String> {
    let Some(shared) = &contents.shared else {
        return Ok(migration.to_owned());
    };
    let present = columns(connection, shared.table)?;
    let adds_present = |line: &&str| {
        line.strip_prefix(ADD_COLUMN)
            .and_then(|column| column.split(' ').next())
            .is_some_and(|name| present.iter().any(|column| column.name == name))
    };
    let lines: Vec<&str> = migration
        .lines()
        .filter(|line| !adds_present(line))
        .collect();
    Ok(lines.join("\n"))
}

/// The version of the schema; 0 for a file without one. It is kept in a table of ours: `user_version` is lost when somebody dumps a
/// database and reads it in again.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    let present = connection
        .query_row(
            "SELECT 1 FROM sqlite_master WHERE name = 'barista_meta'",
            [],
            |_| Ok(()),
        )
        .optional()?;
    if present.is_none() {
        return Ok(0);
    }
    let found = connection
        .query_row(
            "SELECT value FROM barista_meta WHERE key = 'schema_version'",
            [],
            |row| row.get(0),
        )
        .optional()?;
    Ok(found.unwrap_or(0))
}

/// What is wrong with a file that has lost its version.
pub(super) const VERSION_LOST: &str =
    "what the daemon kept about it, in the table barista_meta, is gone";

/// Whether a file without a version, as `found` says, has a journal of ours all the same: then nobody knows which version it had.
pub(super) fn lost_version(
    connection: &Connection,
    contents: &Contents,
    found: i64,
) -> rusqlite::Result<bool> {
    let journal = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?1";
    Ok(found == 0 && connection.prepare(journal)?.exists([contents.telltale])?)
}

/// One trigger, index or table, as `sqlite_master` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    kind: String,
    name: String,
    sql: String,
}

/// What the schema should contain.
pub(super) struct Expected {
    contents: &'static Contents,
    objects: Vec<Object>,
    columns: Vec<Column>,
    loss: Loss,
}

/// What becomes of a lost journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// An empty one is made, of another epoch.
    BeginAnew,
    /// It is an error: somebody goes by the one that is lost, and it may still be put back.
    Refuse,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Column {
    name: String,
    declared: String,
}

impl Expected {
    /// Learns what the migrations of `contents` make, by running them on an empty database in memory.
    pub(super) fn of(contents: &'static Contents) -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        for migration in contents.migrations {
            connection.execute_batch(migration)?;
        }
        let columns = match &contents.shared {
            Some(shared) => columns(&connection, shared.table)?,
            None => Vec::new(),
        };
        Ok(Self {
            contents,
            objects: objects(&connection)?,
            columns,
            loss: Loss::BeginAnew,
        })
    }

    /// The same for a database that is in use: whoever has a place in its journal must not find another one there.
    pub(super) fn of_a_journal_in_use(self) -> Self {
        Self {
            loss: Loss::Refuse,
            ..self
        }
    }

    /// The names of the tables, columns, indexes and triggers that are missing or changed, as in `trigger barista_notifications_inserted`. A table
    /// that another tool declared differently still serves.
    pub(super) fn missing(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let present = objects(connection)?;
        let shared = self
            .contents
            .shared
            .as_ref()
            .map_or("", |shared| shared.table);
        let found = columns(connection, shared)?;
        let serves = |object: &&Object| match object.kind.as_str() {
            "table" => present
                .iter()
                .any(|o| o.kind == object.kind && o.name == object.name),
            _ => present.contains(object),
        };
        let objects = self.objects.iter().filter(|object| !serves(object));
        let objects = objects.map(|object| format!("{} {}", object.kind, object.name));
        let lost = self
            .columns
            .iter()
            .filter(|c| found.iter().all(|f| f.name != c.name))
            .map(|column| format!("column {shared}.{}", column.name));
        Ok(objects.chain(lost).collect())
    }

    /// Puts back tables, columns, indexes and triggers that are missing or changed, and records in the journal what nobody recorded
    /// meanwhile. A table comes back empty. Must run inside a write transaction. Returns what was repaired.
    ///
    /// # Errors
    ///
    /// Where the journal is lost while it is in use, too.
    pub(super) fn restore(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let mut repaired = self.restore_own_tables(connection)?;
        let rest = match &self.contents.shared {
            Some(shared) => self.restore_shared(connection, shared)?,
            None => self.restore_derived(connection)?,
        };
        repaired.extend(rest);
        Ok(repaired)
    }

    /// Of which database.
    pub(super) fn contents(&self) -> &'static Contents {
        self.contents
    }

    /// Puts back the tables that are the daemon's alone, and what its own keeping of them must never be without.
    fn restore_own_tables(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let present = objects(connection)?;
        let is_there = |name: &str| present.iter().any(|o| o.kind == "table" && o.name == name);
        let shared = self
            .contents
            .shared
            .as_ref()
            .map_or("", |shared| shared.table);
        let lost = self.objects.iter().filter(|object| {
            object.kind == "table" && object.name != shared && !is_there(&object.name)
        });
        let mut repaired = Vec::new();
        for table in lost {
            if table.name == self.contents.journal && self.loss == Loss::Refuse {
                let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
                let text = format!(
                    "its journal, the table {}, is gone: put it back, restore a backup, or restart the daemon to go on with an empty one",
                    table.name
                );
                return Err(rusqlite::Error::SqliteFailure(code, Some(text)));
            }
            connection.execute_batch(&table.sql)?;
            repaired.push(format!("table {}", table.name));
            if table.name == self.contents.journal {
                // The sequences begin again: a place in the lost journal is none in this one.
                connection.execute_batch("DELETE FROM barista_meta WHERE key = 'epoch'")?;
            }
        }
        connection.execute_batch(self.contents.seed)?;
        Ok(repaired)
    }

    /// Puts back what has no rows of its own: views and indexes.
    fn restore_derived(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let present = objects(connection)?;
        let derived = |object: &&Object| object.kind != "table" && !present.contains(object);
        let mut repaired = Vec::new();
        for object in self.objects.iter().filter(derived) {
            let Object { kind, name, sql } = object;
            connection.execute_batch(&format!("DROP {kind} IF EXISTS {name}; {sql}"))?;
            repaired.push(format!("{kind} {name}"));
        }
        Ok(repaired)
    }

    fn restore_shared(
        &self,
        connection: &Connection,
        shared: &Shared,
    ) -> rusqlite::Result<Vec<String>> {
        let table_name = shared.table;
        let present = objects(connection)?;
        let missing: Vec<&Object> = self
            .objects
            .iter()
            .filter(|object| !present.contains(object))
            .collect();
        let found = columns(connection, table_name)?;
        let lost: Vec<&Column> = self
            .columns
            .iter()
            .filter(|c| found.iter().all(|f| f.name != c.name))
            .collect();
        let has_table = present
            .iter()
            .any(|o| o.kind == "table" && o.name == table_name);
        let mut repaired = Vec::new();
        if !has_table {
            for table in self
                .objects
                .iter()
                .filter(|o| o.kind == "table" && o.name == table_name)
            {
                connection.execute_batch(&table.sql)?;
                repaired.push(format!("table {}", table.name));
            }
        } else {
            for column in &lost {
                connection.execute_batch(&format!(
                    "ALTER TABLE {table_name} ADD COLUMN {} {}",
                    column.name, column.declared
                ))?;
                repaired.push(format!("column {table_name}.{}", column.name));
            }
        }
        let unwatched =
            missing.iter().any(|object| object.kind == "trigger") || !repaired.is_empty();
        for object in missing.iter().filter(|object| object.kind == "trigger") {
            connection.execute_batch(&format!("DROP TRIGGER IF EXISTS {}", object.name))?;
        }
        if unwatched {
            let lost: Vec<&str> = lost.iter().map(|column| column.name.as_str()).collect();
            (shared.reconcile)(connection, &lost)?;
        }
        for object in missing {
            // A table of ours that another tool declared differently still serves; only what is missing is made.
            if object.kind == "index" || object.kind == "trigger" {
                if object.kind == "index" {
                    connection.execute_batch(&format!("DROP INDEX IF EXISTS {}", object.name))?;
                }
                connection.execute_batch(&object.sql)?;
                repaired.push(format!("{} {}", object.kind, object.name));
            }
        }
        Ok(repaired)
    }
}

fn objects(connection: &Connection) -> rusqlite::Result<Vec<Object>> {
    let mut statement = connection
        .prepare("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")?;
    let objects = statement.query_map([], |row| {
        let sql: String = row.get(2)?;
        // Direct tooling makes the one index that both have with IF NOT EXISTS; the text in the schema is the same but for white space.
        let sql = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        Ok(Object {
            kind: row.get(0)?,
            name: row.get(1)?,
            sql,
        })
    })?;
    objects.collect()
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement = connection.prepare(
        "SELECT name, type || CASE WHEN dflt_value IS NULL THEN '' ELSE ' DEFAULT ' || dflt_value END
           FROM pragma_table_info(?1)",
    )?;
    let columns = statement.query_map([table], |row| {
        Ok(Column {
            name: row.get(0)?,
            declared: row.get(1)?,
        })
    })?;
    columns.collect()
}

#[cfg(test)]
mod tests {
    use super::super::contents::NOTIFICATIONS;
    use super::*;

    const NEWEST: i64 = NOTIFICATIONS.migrations.len() as i64;

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        migrate(&mut connection, Path::new("test"), &NOTIFICATIONS).expect("a schema");
        connection
    }

    fn insert(connection: &Connection, title: &str) {
        connection
            .execute(
                "INSERT INTO notifications (type, title, message, created_at, updated_at)
                 VALUES ('info', ?1, 'm', '2025-01-01', '2025-01-01')",
                [title],
            )
            .expect("an insert");
    }

    fn kinds(connection: &Connection) -> Vec<(i64, String)> {
        let mut statement = connection
            .prepare("SELECT notification_id, kind FROM changes ORDER BY seq")
            .expect("sql");
        let rows = statement
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("rows");
        rows.collect::<Result<_, _>>().expect("rows")
    }

    fn meta(connection: &Connection, key: &str) -> String {
        let sql = "SELECT CAST(value AS TEXT) FROM barista_meta WHERE key = ?1";
        connection
            .query_row(sql, [key], |row| row.get(0))
            .expect("a value")
    }

    fn restore(connection: &Connection) -> Vec<String> {
        Expected::of(&NOTIFICATIONS)
            .expect("a schema")
            .restore(connection)
            .expect("a repair")
    }

    #[test]
    fn an_intact_schema_is_left_alone() {
        let connection = migrated();
        assert_eq!(restore(&connection), Vec::<String>::new());
    }

    #[test]
    fn a_second_migration_does_nothing() {
        let mut connection = migrated();
        assert!(matches!(
            migrate(&mut connection, Path::new("test"), &NOTIFICATIONS),
            Ok(NEWEST)
        ));
    }

    #[test]
    fn a_file_from_the_future_is_refused() {
        let mut connection = migrated();
        connection
            .execute(
                "UPDATE barista_meta SET value = 99 WHERE key = 'schema_version'",
                [],
            )
            .expect("an update");
        let refused = migrate(&mut connection, Path::new("test"), &NOTIFICATIONS);
        assert!(matches!(
            refused,
            Err(OpenError::FromTheFuture {
                found: 99,
                known: NEWEST,
                ..
            })
        ));
    }

    #[test]
    fn a_table_of_another_program_is_told_in_one_sentence() {
        let mut connection = Connection::open_in_memory().expect("a database");
        connection
            .execute_batch("CREATE TABLE notifications (id, priority, title, message, context, status, user_response, created_at, updated_at)")
            .expect("a table");
        let refused =
            migrate(&mut connection, Path::new("f"), &NOTIFICATIONS).expect_err("refused");
        let said = refused.to_string();
        assert!(
            said.starts_with(
                "f holds a table `notifications` that is not Barista's: column type is missing; "
            ),
            "{said}"
        );
    }

    #[test]
    fn a_failed_upgrade_changes_nothing() {
        let mut connection = Connection::open_in_memory().expect("a database");
        connection
            .execute_batch("CREATE TABLE change_contents (mine)")
            .expect("a table");
        let before = objects(&connection).expect("a schema");
        let refused = migrate(&mut connection, Path::new("test"), &NOTIFICATIONS);
        assert!(
            matches!(refused, Err(OpenError::Upgrade { .. })),
            "{refused:?}"
        );
        assert_eq!(objects(&connection).expect("a schema"), before);
    }

    #[test]
    fn a_table_that_was_copied_alone_from_another_database_is_taken_over() {
        let source = migrated();
        let mut copy = Connection::open_in_memory().expect("a database");
        // What the shell's ".dump notifications" writes: the table first, then its indexes and triggers.
        let mut copied = objects(&source).expect("a schema");
        copied.retain(|object| object.sql.contains(" notifications"));
        copied.sort_by_key(|object| object.kind != "table");
        for object in copied {
            copy.execute_batch(&object.sql).expect("a copy");
        }
        assert!(matches!(
            migrate(&mut copy, Path::new("test"), &NOTIFICATIONS),
            Ok(NEWEST)
        ));
        insert(&copy, "new");
        assert_eq!(kinds(&copy), [(1, "created".to_owned())]);
        assert_eq!(restore(&copy), Vec::<String>::new());
    }

    #[test]
    fn a_table_of_ours_comes_back_empty_with_what_belongs_to_it() {
        for table in ["consumers", "set_aside", "change_contents"] {
            let connection = migrated();
            insert(&connection, "before");
            let epoch = meta(&connection, "epoch");
            connection
                .execute_batch(&format!("DROP TABLE {table}"))
                .expect("a drop");
            let repaired = restore(&connection);
            assert!(repaired.contains(&format!("table {table}")), "{repaired:?}");
            assert_eq!(restore(&connection), Vec::<String>::new());
            let rows = format!("SELECT count(*) FROM {table}");
            let rows: i64 = connection
                .query_row(&rows, [], |row| row.get(0))
                .expect("a count");
            assert_eq!(rows, 0);
            insert(&connection, "after");
            assert_eq!(kinds(&connection).len(), 2);
            assert_eq!(meta(&connection, "epoch"), epoch);
        }
    }

    #[test]
    fn a_lost_journal_begins_anew_in_another_epoch_unless_it_is_in_use() {
        let connection = migrated();
        insert(&connection, "before");
        let epoch = meta(&connection, "epoch");
        connection
            .execute_batch("DROP TABLE changes")
            .expect("a drop");
        let in_use = Expected::of(&NOTIFICATIONS)
            .expect("a schema")
            .of_a_journal_in_use();
        let refused = in_use.restore(&connection).expect_err("it is in use");
        assert!(
            refused.to_string().contains("restore a backup"),
            "{refused}"
        );
        assert!(!restore(&connection).is_empty());
        assert_ne!(meta(&connection, "epoch"), epoch);
        insert(&connection, "after");
        assert!(kinds(&connection).contains(&(2, "created".to_owned())));
        assert_eq!(restore(&connection), Vec::<String>::new());
    }

    #[test]
    fn keys_that_were_deleted_are_put_back() {
        let connection = migrated();
        insert(&connection, "before");
        connection
            .execute_batch(
                "INSERT INTO consumers (name, epoch, acknowledged, generation, created_at, updated_at, watch)
                     VALUES ('bell', 'e', 0, 3, '', '', 7);
                 DELETE FROM barista_meta WHERE key <> 'schema_version'",
            )
            .expect("sql");
        restore(&connection);
        assert_eq!(meta(&connection, "epoch").len(), 32);
        assert_eq!(meta(&connection, "consumer_generation"), "7");
        assert_eq!(kinds(&connection).len(), 1, "nothing is told twice");
    }

    #[test]
    fn a_file_that_has_lost_its_version_is_not_upgraded_on_a_guess() {
        let mut connection = migrated();
        connection
            .execute_batch("DROP TABLE barista_meta")
            .expect("a drop");
        let refused = migrate(&mut connection, Path::new("test"), &NOTIFICATIONS);
        assert!(
            matches!(&refused, Err(OpenError::Damaged { finding, .. }) if finding == VERSION_LOST),
            "{refused:?}"
        );
    }

    #[test]
    fn a_rebuilt_table_gets_its_triggers_back_and_the_journal_what_it_missed() {
        let connection = migrated();
        for title in ["kept", "changed", "removed"] {
            insert(&connection, title);
        }
        connection
            .execute_batch(
                "CREATE TABLE rebuilt (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT, priority TEXT, title TEXT, message TEXT,
                                       context TEXT, status TEXT, user_response TEXT, created_at TEXT, updated_at TEXT);
                 INSERT INTO rebuilt SELECT id, type, priority, title, message, context, status, user_response,
                                            created_at, updated_at FROM notifications;
                 DROP TABLE notifications;
                 ALTER TABLE rebuilt RENAME TO notifications;
                 DELETE FROM notifications WHERE id = 3;
                 UPDATE notifications SET status = 'read' WHERE id = 2;
                 INSERT INTO notifications (id, type, priority, title, message, status, created_at, updated_at)
                     VALUES (4, 'info', 'low', 'new', 'm', 'pending', '', '')",
            )
            .expect("a rebuild");
        assert!(!restore(&connection).is_empty());
        let created = |id| (id, "created".to_owned());
        let expected = [
            created(1),
            created(2),
            created(3),
            (3, "deleted".to_owned()),
            (2, "read".to_owned()),
            created(4),
        ];
        assert_eq!(kinds(&connection), expected);
        insert(&connection, "after");
        assert_eq!(kinds(&connection).len(), 7);
        assert_eq!(restore(&connection), Vec::<String>::new());
    }

    #[test]
    fn rows_from_before_the_journal_are_not_reported_as_new_by_a_repair() {
        let mut connection = Connection::open_in_memory().expect("a database");
        connection
            .execute_batch(
                "CREATE TABLE notifications (id INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL,
                    priority TEXT NOT NULL DEFAULT 'normal', title TEXT NOT NULL, message TEXT NOT NULL, context TEXT,
                    status TEXT NOT NULL DEFAULT 'pending', user_response TEXT, created_at TEXT NOT NULL,
                    updated_at TEXT NOT NULL)",
            )
            .expect("a table");
        insert(&connection, "old");
        migrate(&mut connection, Path::new("test"), &NOTIFICATIONS).expect("a schema");
        connection
            .execute_batch("DROP TRIGGER barista_notifications_inserted")
            .expect("a drop");
        let expected = Expected::of(&NOTIFICATIONS).expect("a schema");
        let missing = expected.missing(&connection).expect("a look");
        assert_eq!(missing, ["trigger barista_notifications_inserted"]);
        assert_eq!(restore(&connection), missing);
        assert_eq!(kinds(&connection), []);
    }
}
