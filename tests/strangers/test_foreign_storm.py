"""Everybody writes at once: Python, the shell and the daemon, while a watcher follows."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from barista_client import Watch, kind_word, state_word
from barista_client.pb.notification.v1.notification_pb2 import NotificationEvent
from daemon import Daemon
from legacy import NotificationDB
from test_direct_tooling import locks
from test_sqlite_shell import shell

ROUNDS = 15
COLUMNS = "type, title, message, created_at, updated_at"
END = "The end"

# What each round does to two rows, and the events that come of it. The first statement may be told apart by its title alone.
STATEMENTS = f"""
    INSERT INTO notifications (id, {COLUMNS}) VALUES (:a, 'info', ':t', '', '', '');
    INSERT OR IGNORE INTO notifications (id, {COLUMNS}) VALUES (:a, 'info', 'ignored', '', '', '');
    INSERT OR IGNORE INTO notifications (id, {COLUMNS}) VALUES (:b, 'question', ':t', '', '', '');
    UPDATE notifications SET status = 'read' WHERE id IN (:a, :b);
    REPLACE INTO notifications (id, {COLUMNS}) VALUES (:a, 'info', ':t again', '', '', '');
    UPDATE OR IGNORE notifications SET id = :b WHERE id = :a;
    UPDATE notifications SET title = 'nobody' WHERE id = -1;
    UPDATE OR REPLACE notifications SET status = 'responded', user_response = 'yes' WHERE id = :b;
    DELETE FROM notifications WHERE id = :a;
"""
FIRST = ["created", "read", "updated", "deleted"]
SECOND = ["created", "read", "responded"]


def statements(round: int, start: int) -> tuple[str, int, int]:
    """The statements of a round, and the ids of its rows."""
    first, second = start + 2 * round, start + 2 * round + 1
    script = STATEMENTS.replace(":a", str(first)).replace(":b", str(second)).replace(":t", f"row of {start}")
    return script, first, second


def by_python(database: Path, round: int, start: int) -> None:
    """One connection for each statement, as the old tooling does it."""
    script, _, _ = statements(round, start)
    for statement in filter(str.strip, script.split(";")):
        with NotificationDB(database).connection() as connection:
            connection.execute(statement)


def by_shell(database: Path, round: int, start: int) -> None:
    shell(database, statements(round, start)[0])


def by_one_transaction(database: Path, round: int, start: int) -> None:
    with closing(sqlite3.connect(database, timeout=30.0)) as connection:
        connection.executescript(f"BEGIN IMMEDIATE; {statements(round, start)[0]} COMMIT;")


def vacuum(database: Path, *_: int) -> None:
    with closing(sqlite3.connect(database, timeout=30.0)) as connection:
        connection.execute("VACUUM")


def rebuild(database: Path, *_: int) -> None:
    """The recipe for a change that ALTER TABLE cannot make. It takes the triggers away."""
    with closing(sqlite3.connect(database, timeout=30.0, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        (definition,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'notifications'").fetchone()
        connection.execute(f"CREATE TABLE rebuilt ({definition.split('(', 1)[1]}")
        connection.execute("INSERT INTO rebuilt SELECT * FROM notifications")
        connection.execute("DROP TABLE notifications")
        connection.execute("ALTER TABLE rebuilt RENAME TO notifications")
        connection.execute("COMMIT")


def storm(daemon: Daemon, writers: list[tuple[Callable[[Path, int, int], None], int]]) -> list[NotificationEvent]:
    """Lets all of them write, each beginning with an id of its own, and the daemon too; what the watcher was told."""
    failures: list[BaseException] = []

    def run(write: Callable[[Path, int, int], None], start: int) -> None:
        try:
            for round in range(ROUNDS):
                write(daemon.database, round, start)
        except BaseException as error:  # The thread has nobody else to tell.
            failures.append(error)

    with daemon.client() as client, client.watch() as watch:
        # Ids go up: from here on those of the daemon are out of the others' way.
        with NotificationDB(daemon.database).connection() as connection:
            connection.execute(f"INSERT INTO notifications (id, {COLUMNS}) VALUES (1000000, 'info', 'First', '', '', '')")
        wal = daemon.database.with_name("notifications.db-wal")
        held, inode = held_by(daemon), wal.stat().st_ino
        assert held, "the daemon holds locks"
        threads = [threading.Thread(target=run, args=writer) for writer in writers]
        for thread in threads:
            thread.start()
        for number in range(4 * ROUNDS):
            client.respond(client.ask(f"Asked {number}", wait=0).id, "yes")
        for thread in threads:
            thread.join(120)
        assert not failures
        assert held_by(daemon) >= held, "no lock was lost"
        assert wal.stat().st_ino == inode, "nobody removed the write-ahead log"
        client.notify(END)
        events = told(watch)
    assert_replayed(daemon.database, events)
    return events


def held_by(daemon: Daemon) -> set[str]:
    """The daemon's locks that never go: on the index of the log that somebody uses it, on the database that somebody reads it."""
    index = f":{daemon.database.with_name('notifications.db-shm').stat().st_ino} "
    mine = {line for line in locks(daemon.database) if f" {daemon.pid} " in line}
    return {line for line in mine if index not in line or line.endswith(" 128 128")}


def told(watch: Watch) -> list[NotificationEvent]:
    events = []
    for event in watch:
        events.append(event)
        if event.notification.title == END:
            return events
    raise AssertionError("the watch ended")


def assert_replayed(database: Path, events: list[NotificationEvent]) -> None:
    """Checks that the events are the journal, one by one, and that they lead to what the table holds."""
    connection = sqlite3.connect(database, timeout=30.0)
    journal = connection.execute("SELECT seq, kind, notification_id FROM changes ORDER BY seq").fetchall()
    assert [(e.sequence, kind_word(e.kind), e.notification.id) for e in events] == journal
    assert [sequence for sequence, _, _ in journal] == list(range(1, len(journal) + 1))
    state: dict[int, tuple[str, str]] = {}
    for event in events:
        if kind_word(event.kind) == "deleted":
            del state[event.notification.id]
        else:
            state[event.notification.id] = (event.notification.title, state_word(event.notification))
    rows = connection.execute("SELECT id, title, status FROM notifications")
    assert state == {id: (title, status) for id, title, status in rows}
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_every_change_of_everybody_is_one_event_in_order(daemon: Daemon) -> None:
    """Fails when the trigger for updates misses a column, or the writer publishes before it has looked for what others committed."""
    writers = [(by_python, 100_000), (by_shell, 200_000), (by_one_transaction, 300_000)]
    events = storm(daemon, [*writers, (vacuum, 0)])
    kinds: dict[int, list[str]] = {}
    for event in events:
        kinds.setdefault(event.notification.id, []).append(kind_word(event.kind))
    for _, start in writers:
        for round in range(ROUNDS):
            _, first, second = statements(round, start)
            assert (kinds.pop(first), kinds.pop(second)) == (FIRST, SECOND)
    asked = [kind for kind in kinds.values() if len(kind) > 1]
    assert asked == [["created", "responded"]] * (4 * ROUNDS)


def test_a_table_that_is_rebuilt_under_everybody_loses_nothing(daemon: Daemon) -> None:
    """Between a rebuild and its repair nobody records what others write: several changes of a row may be one event, but none is lost.

    Fails when ``Expected::restore`` puts the triggers back without comparing the rows with the journal.
    """
    storm(daemon, [(by_python, 100_000), (by_shell, 200_000), (rebuild, 0)])
