//! Looking for damage, and for what other programs took from the schema. Only reads, so it serves a reader beside the writer, and a program that has
//! opened the file only to look.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::contents::Contents;
use super::failure::foreign_remedy;
use super::row::parse_time;
use super::schema::{Expected, VERSION_LOST, foreign, lost_version, version};
use crate::domain::admin::{IntegrityDepth, IntegrityKind};
use crate::domain::clock::Timestamp;

/// Steps of SQLite's virtual machine, or pages of a check, between two looks at whether to stop: about a millisecond.
const STEPS: i32 = 10_000;
/// How far the last change may be ahead of the clock. A clock that is set by the network jumps by less.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(300);

/// What one database is looked at for.
#[derive(Clone, Copy)]
pub(super) struct Look {
    /// What it should contain.
    pub(super) contents: &'static Contents,
    pub(super) depth: IntegrityDepth,
    /// How many findings are enough.
    pub(super) limit: usize,
    /// The present.
    pub(super) now: Timestamp,
}

/// What one database has.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) findings: Vec<(IntegrityKind, String)>,
    /// Whether all was looked at.
    pub(super) complete: bool,
}

/// Looks at the database behind `connection`, until `stop` says that it is enough. What is damaged is a finding and not an error.
pub(super) fn examine(
    connection: &Connection,
    look: Look,
    stop: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<Seen> {
    let _stopping = Stopping::install(connection, stop)?;
    let mut seen = Seen::default();
    match examine_all(connection, look, &mut seen.findings) {
        Ok(()) => seen.complete = seen.findings.len() < look.limit,
        Err(error) => match error.sqlite_error_code() {
            Some(ErrorCode::OperationInterrupted) => {}
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                seen.findings
                    .push((IntegrityKind::Damage, one_line(&error.to_string())));
            }
            _ => return Err(error),
        },
    }
    seen.findings.truncate(look.limit);
    Ok(seen)
}

fn examine_all(
    connection: &Connection,
    look: Look,
    findings: &mut Vec<(IntegrityKind, String)>,
) -> rusqlite::Result<()> {
    // What is quick first, so that a check that is stopped has said it.
    schema(connection, look.contents, findings)?;
    clock(connection, look, findings)?;
    foreign_keys(connection, look.limit, findings)?;
    damage(connection, look, findings)
}

/// Stops the statements of a connection while it lives.
struct Stopping<'a>(&'a Connection);

impl<'a> Stopping<'a> {
    fn install(
        connection: &'a Connection,
        stop: impl FnMut() -> bool + Send + 'static,
    ) -> rusqlite::Result<Self> {
        connection.progress_handler(STEPS, Some(stop))?;
        Ok(Self(connection))
    }
}

impl Drop for Stopping<'_> {
    fn drop(&mut self) {
        // It fails only on a connection that somebody else made.
        drop(self.0.progress_handler(0, None::<fn() -> bool>));
    }
}

fn schema(
    connection: &Connection,
    contents: &'static Contents,
    findings: &mut Vec<(IntegrityKind, String)>,
) -> rusqlite::Result<()> {
    let (found, known) = (version(connection)?, contents.version());
    if found > known {
        let text = format!(
            "it has schema version {found}, and this release knows only {known}: a newer release has used it; install that release, or name another data directory with --data-dir"
        );
        findings.push((IntegrityKind::Unusable, text));
    }
    if lost_version(connection, contents, found)? {
        findings.push((IntegrityKind::Damage, VERSION_LOST.to_owned()));
    }
    if let Some(foreign) = foreign(connection, contents, found)? {
        let text = format!("it holds {foreign}; {}", foreign_remedy());
        findings.push((IntegrityKind::Unusable, text));
    }
    // An older one is upgraded at the next start, and what it lacks until then is no defect.
    if found == known {
        let expected = Expected::of(contents)?;
        let lost = expected.unrestorable(connection)?;
        let mut names = expected.missing(connection)?;
        names.retain(|name| !lost.contains(name));
        findings.extend(missing(&names));
        if !lost.is_empty() {
            let text = format!(
                "the {} is missing, and cannot be made up: another program has rebuilt the table without it; calls that need it fail, and the rest is served",
                lost.join(", the ")
            );
            findings.push((IntegrityKind::Damage, text));
        }
    }
    Ok(())
}

/// What is told of the objects that are missing: in one sentence, as they mostly go together. A table is another matter: it took its rows along.
fn missing(names: &[String]) -> Vec<(IntegrityKind, String)> {
    let (tables, others): (Vec<&str>, Vec<&str>) = names
        .iter()
        .map(String::as_str)
        .partition(|name| name.starts_with("table "));
    let mut findings = Vec::new();
    if !tables.is_empty() {
        let text = format!(
            "the {} is missing, and all its rows are gone: the daemon makes it anew, and empty, at its next start at the latest",
            tables.join(", the ")
        );
        findings.push((IntegrityKind::Damage, text));
    }
    // The columns of a missing table are missing, too, as everybody knows.
    let lost = |name: &&str| {
        let table = name
            .strip_prefix("column ")
            .and_then(|name| name.split('.').next());
        table.is_none_or(|table| {
            !tables
                .iter()
                .any(|lost| lost.ends_with(&format!(" {table}")))
        })
    };
    let others: Vec<&str> = others.into_iter().filter(lost).collect();
    let text = match others.as_slice() {
        [] => return findings,
        [one] => format!("the {one} is missing or changed"),
        many => format!(
            "{} parts of the schema are missing or changed: {}",
            many.len(),
            many.join(", ")
        ),
    };
    findings.push((IntegrityKind::Schema, text));
    findings
}

/// Whether the last change of the journal is from the future.
fn clock(
    connection: &Connection,
    look: Look,
    findings: &mut Vec<(IntegrityKind, String)>,
) -> rusqlite::Result<()> {
    let Some(newest) = look.contents.newest else {
        return Ok(());
    };
    if version(connection)? == 0 {
        return Ok(());
    }
    let last: Option<Option<String>> = connection
        .query_row(newest, [], |row| row.get(0))
        .optional()?;
    let Some(text) = last.flatten() else {
        return Ok(());
    };
    let ahead = parse_time(&text).map_or(Duration::ZERO, |at| at.since(look.now));
    if ahead > CLOCK_TOLERANCE {
        let text = format!(
            "the last change was made at {text} UTC, {} s ahead of this machine's clock",
            ahead.as_secs()
        );
        findings.push((IntegrityKind::Clock, text));
    }
    Ok(())
}

fn foreign_keys(
    connection: &Connection,
    limit: usize,
    findings: &mut Vec<(IntegrityKind, String)>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()?
        && findings.len() < limit
    {
        let (table, row_id, parent): (String, Option<i64>, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        let row_id = row_id.map_or_else(|| "a row".to_owned(), |id| format!("row {id}"));
        let text = format!("{row_id} of {table} refers to a row of {parent} that is not there");
        findings.push((IntegrityKind::ForeignKey, one_line(&text)));
    }
    Ok(())
}

fn damage(
    connection: &Connection,
    look: Look,
    findings: &mut Vec<(IntegrityKind, String)>,
) -> rusqlite::Result<()> {
    let left = look.limit.saturating_sub(findings.len()).max(1);
    let sql = match look.depth {
        IntegrityDepth::Quick => format!("PRAGMA quick_check({left})"),
        IntegrityDepth::Full => format!("PRAGMA integrity_check({left})"),
    };
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let text: String = row.get(0)?;
        if text != "ok" {
            findings.push((IntegrityKind::Damage, one_line(&text)));
        }
    }
    Ok(())
}

/// SQLite names the b-tree on a line of its own before what is wrong with it.
fn one_line(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join(" ").trim_start_matches("*** ").to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::store::sqlite::contents::NOTIFICATIONS;
    use crate::store::sqlite::schema::migrate;

    const LOOK: Look = Look {
        contents: &NOTIFICATIONS,
        depth: IntegrityDepth::Full,
        limit: 100,
        now: Timestamp::MAX,
    };

    fn migrated() -> Connection {
        let mut connection = Connection::open_in_memory().expect("a database");
        migrate(&mut connection, Path::new("test"), &NOTIFICATIONS).expect("a schema");
        connection
            .execute_batch(
                "INSERT INTO notifications (type, title, message, created_at, updated_at)
                 VALUES ('info', 't', 'm', '2025-01-01', '2025-01-01')",
            )
            .expect("an insert");
        connection
    }

    fn found(connection: &Connection, look: Look) -> Vec<IntegrityKind> {
        let seen = examine(connection, look, || false).expect("a look");
        seen.findings.into_iter().map(|(kind, _)| kind).collect()
    }

    #[test]
    fn a_sound_database_has_no_findings() {
        let seen = examine(&migrated(), LOOK, || false).expect("a look");
        assert!(seen.complete && seen.findings.is_empty(), "{seen:?}");
        let empty = Connection::open_in_memory().expect("a database");
        assert_eq!(found(&empty, LOOK), []);
    }

    #[test]
    fn a_dropped_trigger_and_a_row_without_its_parent_are_found() {
        let connection = migrated();
        connection
            .execute_batch(
                "PRAGMA foreign_keys = OFF; DROP TRIGGER barista_notifications_inserted;
                 CREATE TABLE child (id REFERENCES notifications(id)); INSERT INTO child VALUES (99)",
            )
            .expect("done");
        let kinds = [IntegrityKind::Schema, IntegrityKind::ForeignKey];
        assert_eq!(found(&connection, LOOK), kinds);
        let first = Look { limit: 1, ..LOOK };
        let seen = examine(&connection, first, || false).expect("a look");
        assert!(seen.findings.len() == 1 && !seen.complete, "{seen:?}");
    }

    #[test]
    fn a_column_that_rows_mean_nothing_without_is_damage_and_another_one_is_not() {
        let connection = migrated();
        connection
            .execute_batch(
                "ALTER TABLE consumers DROP COLUMN epoch; ALTER TABLE consumers DROP COLUMN watch",
            )
            .expect("done");
        let seen = examine(&connection, LOOK, || false).expect("a look");
        let [schema, damage] = seen.findings.as_slice() else {
            panic!("{seen:?}");
        };
        assert_eq!(schema.0, IntegrityKind::Schema);
        assert!(schema.1.contains("column consumers.watch"), "{schema:?}");
        assert_eq!(damage.0, IntegrityKind::Damage);
        assert!(damage.1.contains("column consumers.epoch"), "{damage:?}");
    }

    #[test]
    fn an_index_that_lacks_a_row_is_found_by_the_full_check() {
        let connection = migrated();
        connection
            .execute_batch(
                "PRAGMA writable_schema = ON;
                 UPDATE sqlite_master SET sql = 'CREATE INDEX idx_changes_notification ON changes(kind)'
                  WHERE name = 'idx_changes_notification';
                 PRAGMA writable_schema = RESET",
            )
            .expect("done");
        assert!(found(&connection, LOOK).contains(&IntegrityKind::Damage));
    }

    #[test]
    fn a_change_from_the_future_tells_of_a_wrong_clock() {
        let early = Timestamp::from_micros(0).expect("1970");
        let look = Look { now: early, ..LOOK };
        assert_eq!(found(&migrated(), look), [IntegrityKind::Clock]);
    }

    #[test]
    fn a_check_that_is_stopped_is_not_complete_and_leaves_the_connection_usable() {
        let connection = migrated();
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
             INSERT INTO notifications (type, title, message, created_at, updated_at)
             SELECT 'info', 't', 'm', '2025-01-01', '2025-01-01' FROM n";
        connection.execute_batch(many).expect("rows");
        let seen = examine(&connection, LOOK, || true).expect("a look");
        assert!(!seen.complete);
        assert!(
            examine(&connection, LOOK, || false)
                .expect("a look")
                .complete
        );
    }
}
