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
    table: String,
    name: String,
    /// Its type, with what a row has that says nothing of it.
    declared: String,
    /// Whether rows can get it that were made without it.
    addable: bool,
}

impl Column {
    /// For people: `column consumers.watch`.
    fn title(&self) -> String {
        format!("column {}.{}", self.table, self.name)
    }

    fn is_in(&self, columns: &[Self]) -> bool {
        columns
            .iter()
            .any(|other| other.table == self.table && other.name == self.name)
    }
}

impl Expected {
    /// Learns what the migrations of `contents` make, by running them on an empty database in memory.
    pub(super) fn of(contents: &'static Contents) -> rusqlite::Result<Self> {
        let connection = Connection::open_in_memory()?;
        for migration in contents.migrations {
            connection.execute_batch(migration)?;
        }
        let objects = objects(&connection)?;
        Ok(Self {
            contents,
            columns: columns_of_tables(&connection, &objects)?,
            objects,
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
        let serves = |object: &&Object| match object.kind.as_str() {
            "table" => present
                .iter()
                .any(|o| o.kind == object.kind && o.name == object.name),
            _ => present.contains(object),
        };
        let objects = self.objects.iter().filter(|object| !serves(object));
        let objects = objects.map(|object| format!("{} {}", object.kind, object.name));
        let lost = self.lost_columns(connection)?;
        let lost = lost.into_iter().map(Column::title);
        Ok(objects.chain(lost).collect())
    }

    /// Those of the missing columns that cannot be put back: rows are told apart by them, or mean nothing without.
    pub(super) fn unrestorable(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let present = objects(connection)?;
        let is_there = |column: &&Column| {
            let is_it = |object: &Object| object.kind == "table" && object.name == column.table;
            present.iter().any(is_it)
        };
        let lost = self.lost_columns(connection)?;
        let lost = lost
            .into_iter()
            .filter(|column| !column.addable && column.table != self.shared_table());
        Ok(lost.filter(is_there).map(Column::title).collect())
    }

    fn lost_columns(&self, connection: &Connection) -> rusqlite::Result<Vec<&Column>> {
        let found = columns_of_tables(connection, &self.objects)?;
        Ok(self.columns.iter().filter(|c| !c.is_in(&found)).collect())
    }

    /// Puts back tables, columns, indexes and triggers that are missing or changed, and records in the journal what nobody recorded
    /// meanwhile. A table comes back empty, and so does a column; one without which a row means nothing stays missing. Must run inside a write transaction. Returns what was repaired.
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

    /// The table that direct tooling may rebuild; empty where there is none.
    fn shared_table(&self) -> &'static str {
        let shared = self.contents.shared.as_ref();
        shared.map_or("", |shared| shared.table)
    }

    /// Puts back the tables that are the daemon's alone, and what its own keeping of them must never be without.
    fn restore_own_tables(&self, connection: &Connection) -> rusqlite::Result<Vec<String>> {
        let present = objects(connection)?;
        let is_there = |name: &str| present.iter().any(|o| o.kind == "table" && o.name == name);
        let lost = self.objects.iter().filter(|object| {
            object.kind == "table" && object.name != self.shared_table() && !is_there(&object.name)
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
        for column in self.lost_columns(connection)? {
            if column.addable && column.table != self.shared_table() {
                add(connection, column)?;
                repaired.push(column.title());
            }
        }
        connection.execute_batch(self.contents.seed)?;
        for (title, recount) in self.contents.recounts {
            if repaired.iter().any(|name| name == title) {
                connection.execute_batch(recount)?;
            }
        }
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
        let present = objects(connection)?;
        let missing: Vec<&Object> = self
            .objects
            .iter()
            .filter(|object| !present.contains(object))
            .collect();
        let mut lost = self.lost_columns(connection)?;
        lost.retain(|column| column.table == shared.table);
        let has_table = present
            .iter()
            .any(|o| o.kind == "table" && o.name == shared.table);
        let mut repaired = Vec::new();
        if !has_table {
            for table in self
                .objects
                .iter()
                .filter(|o| o.kind == "table" && o.name == shared.table)
            {
                connection.execute_batch(&table.sql)?;
                repaired.push(format!("table {}", table.name));
            }
        } else {
            for column in &lost {
                add(connection, column)?;
                repaired.push(column.title());
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

/// The columns of those of `objects` that are tables.
fn columns_of_tables(connection: &Connection, objects: &[Object]) -> rusqlite::Result<Vec<Column>> {
    let tables = objects.iter().filter(|object| object.kind == "table");
    let mut all = Vec::new();
    for table in tables {
        all.extend(columns(connection, &table.name)?);
    }
    Ok(all)
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Column>> {
    let mut statement = connection.prepare(
        "SELECT name, type || CASE WHEN dflt_value IS NULL THEN ''
                                   WHEN \"notnull\" THEN ' NOT NULL DEFAULT ' || dflt_value
                                   ELSE ' DEFAULT ' || dflt_value END,
                pk = 0 AND (NOT \"notnull\" OR dflt_value IS NOT NULL)
           FROM pragma_table_info(?1)",
    )?;
    let columns = statement.query_map([table], |row| {
        Ok(Column {
            table: table.to_owned(),
            name: row.get(0)?,
            declared: row.get(1)?,
            addable: row.get(2)?,
        })
    })?;
    columns.collect()
}

fn add(connection: &Connection, column: &Column) -> rusqlite::Result<()> {
    let Column {
        table,
        name,
        declared,
        ..
    } = column;
    connection.execute_batch(&format!("ALTER TABLE {table} ADD COLUMN {name} {declared}"))
}

#[cfg(test)]
mod tests;
