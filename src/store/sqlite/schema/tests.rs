//! Migrations, and what is put back.

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
    let refused = migrate(&mut connection, Path::new("f"), &NOTIFICATIONS).expect_err("refused");
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

/// Fails when `Expected::of` learns the columns of the shared table alone.
#[test]
fn columns_of_our_tables_come_back_where_rows_can_do_without() {
    let connection = migrated();
    insert(&connection, "before");
    connection
        .execute_batch(
            "INSERT INTO consumers (name, epoch, acknowledged, generation, created_at, updated_at, set_aside)
                 VALUES ('bell', 'e', 0, 3, '', '', 1);
             INSERT INTO set_aside VALUES (1, 1, 1, 1, '', '');
             ALTER TABLE consumers DROP COLUMN set_aside;
             ALTER TABLE consumers DROP COLUMN watch;
             DROP TRIGGER barista_notifications_updated;
             ALTER TABLE consumers DROP COLUMN updated_at",
        )
        .expect("sql");
    let expected = Expected::of(&NOTIFICATIONS).expect("a schema");
    let missing = expected.missing(&connection).expect("a look");
    for name in ["set_aside", "watch", "updated_at"] {
        let name = format!("column consumers.{name}");
        assert!(missing.contains(&name), "{missing:?}");
    }
    let repaired = restore(&connection);
    assert!(
        repaired.contains(&"column consumers.watch".to_owned()),
        "{repaired:?}"
    );
    let sql = "SELECT set_aside, watch FROM consumers";
    let counted: (i64, i64) = connection
        .query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a row");
    assert_eq!(counted, (1, 0));
    // Nobody can say when the row was changed: the rest is repaired all the same, and this is told.
    let lost = ["column consumers.updated_at".to_owned()];
    assert_eq!(expected.missing(&connection).expect("a look"), lost);
    assert_eq!(expected.unrestorable(&connection).expect("a look"), lost);
    assert_eq!(restore(&connection), Vec::<String>::new());
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
