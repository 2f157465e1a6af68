"""Programs that open ``notifications.db`` themselves, in Python, before, while and after the daemon runs."""

from __future__ import annotations

import itertools
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

from barista_client import Client, is_open, kind_word, state_word
from daemon import Daemon
from legacy import NotificationDB

COLUMNS = "id, type, priority, title, message, context, status, user_response, created_at, updated_at"


def rows(path: Path) -> list[tuple[object, ...]]:
    """What the old tooling sees in a database."""
    connection = sqlite3.connect(path, timeout=30.0)
    try:
        return connection.execute(f"SELECT {COLUMNS} FROM notifications ORDER BY id").fetchall()
    finally:
        connection.close()


def locks(path: Path) -> set[str]:
    """The lines of ``/proc/locks`` about a file and its companions, without their running numbers."""
    names = [path, path.with_name(path.name + "-shm"), path.with_name(path.name + "-wal")]
    inodes = {f":{name.stat().st_ino} " for name in names if name.exists()}
    lines = Path("/proc/locks").read_text().splitlines()
    return {line.split(":", 1)[1] for line in lines if any(inode in line for inode in inodes)}


def test_a_legacy_database_is_served_without_loss(legacy_dir: Path) -> None:
    before = rows(legacy_dir / "notifications.db")
    assert len(before) == 240
    with Daemon(legacy_dir) as daemon, daemon.client() as client:
        served = {
            n.id: (
                n.custom_type or type_word(n.type),
                n.title,
                n.message,
                n.context or None,
                state_word(n),
                n.response.text if n.HasField("response") else None,
            )
            for n in client.list(page_size=7)
        }
    assert served == {id: (type, title, message, context, status, response)
                      for id, type, _, title, message, context, status, response, _, _ in before}  # fmt: skip


def type_word(value: int) -> str:
    return ["", "question", "info", "warning", "error", "completion"][value]


def test_the_daemon_leaves_the_rows_of_a_legacy_database_as_they_are(legacy_dir: Path) -> None:
    path = legacy_dir / "notifications.db"
    before = rows(path)
    with Daemon(legacy_dir) as daemon:
        daemon.client().info()
        assert rows(path) == before
        daemon.stop()
        assert rows(path) == before
        daemon.start()


def test_the_old_tooling_works_before_during_and_after_the_daemon(legacy_dir: Path) -> None:
    database = NotificationDB(legacy_dir / "notifications.db")
    early = database.create("question", "Before?", "asked before the daemon ran", context={"step": 1})
    with Daemon(legacy_dir) as daemon, daemon.client() as client:
        # It creates its table and indexes again whenever it starts.
        database = NotificationDB(legacy_dir / "notifications.db")
        during = database.create("question", "During?", "asked beside the daemon", priority="high")
        assert client.get(early).context == '{"step": 1}'
        assert client.get(during).title == "During?"
        client.respond(early, "yes")
        row = database.get(early)
        assert row is not None and (row["status"], row["user_response"]) == ("responded", "yes")
        database.respond(during, "no")
        assert client.get(during).response.text == "no"
        told = client.notify("From the daemon", "through gRPC", type="warning")
        daemon.stop()
    row = database.get(told.id)
    assert row is not None and (row["type"], row["status"], row["message"]) == ("warning", "pending", "through gRPC")
    assert told.id in [row["id"] for row in database.pending()]
    after = database.create("info", "After", "written when the daemon was gone")
    database.mark_read(told.id)
    assert after > told.id
    with Daemon(legacy_dir) as daemon, daemon.client() as client:
        assert state_word(client.get(told.id)) == "read"
        assert client.get(after).title == "After"


def test_words_outside_the_vocabulary_make_no_call_fail(daemon: Daemon) -> None:
    database = NotificationDB(daemon.database)
    id = database.create("approval_request", "Odd", "words of its own", priority="urgent")
    with database.connection() as connection:
        connection.execute("UPDATE notifications SET status = 'snoozed', context = 'no JSON', created_at = 'today' WHERE id = ?", (id,))
    with daemon.client() as client:
        (found,) = client.list()
        assert (found.custom_type, found.custom_priority, found.custom_state) == ("approval_request", "urgent", "snoozed")
        assert found.context == "no JSON" and not found.HasField("create_time") and is_open(found)


def test_each_foreign_change_is_one_event_in_order(daemon: Daemon) -> None:
    with daemon.client() as client, client.watch() as watch:
        database = NotificationDB(daemon.database)
        first = database.create("question", "One", "")
        database.mark_read(first)
        database.respond(first, "ok")
        second = database.create("info", "Two", "")
        with database.connection() as connection:
            connection.execute("UPDATE notifications SET title = 'Two and a half' WHERE id = ?", (second,))
        database.dismiss(second)
        with database.connection() as connection:
            connection.executemany(
                "INSERT INTO notifications (type, title, message, created_at, updated_at) VALUES ('info', ?, '', '', '')",
                [("Three",), ("Four",)],
            )
        database.delete(second)
        client.notify("The end")
        events = list(itertools.takewhile(lambda event: event.notification.title != "The end", watch))
    told = [(kind_word(event.kind), event.notification.id, event.notification.title) for event in events]
    assert told == [
        ("created", first, "One"),
        ("read", first, "One"),
        ("responded", first, "One"),
        ("created", second, "Two"),
        ("updated", second, "Two and a half"),
        ("dismissed", second, "Two and a half"),
        ("created", second + 1, "Three"),
        ("created", second + 2, "Four"),
        ("deleted", second, ""),
    ]
    start = events[0].sequence
    assert [event.sequence for event in events] == list(range(start, start + len(events)))


def test_changes_made_while_the_daemon_was_down_are_told_afterwards(daemon: Daemon) -> None:
    with daemon.client() as client, client.watch() as watch:
        asked = client.ask("Still to do?", wait=0)
        assert next(watch).notification.id == asked.id
        daemon.stop()
        database = NotificationDB(daemon.database)
        database.respond(asked.id, "done")
        created = database.create("info", "Meanwhile", "")
        daemon.start()
        assert [(kind_word(event.kind), event.notification.id) for event in itertools.islice(watch, 2)] == [
            ("responded", asked.id),
            ("created", created),
        ]


def test_an_answer_by_the_old_tooling_ends_a_wait(daemon: Daemon) -> None:
    with daemon.client() as client, client.watch() as watch:
        answers: list[str] = []
        asking = threading.Thread(target=lambda: answers.append(Client(daemon.data_dir).ask("Who?").response.text))
        asking.start()
        NotificationDB(daemon.database).respond(next(watch).notification.id, "me")
        asking.join(60)
    assert answers == ["me"]


def test_a_foreign_connection_that_closes_takes_no_lock_and_no_log_from_the_daemon(daemon: Daemon) -> None:
    wal = daemon.database.with_name("notifications.db-wal")
    with daemon.client() as client:
        client.notify("In the log")
        held, inode = locks(daemon.database), wal.stat().st_ino
        assert any(f" {daemon.pid} " in line for line in held), "the daemon holds locks"
        database = NotificationDB(daemon.database)
        for number in range(20):
            database.create("info", f"Foreign {number}", "")
            database.pending()
        assert wal.stat().st_ino == inode, "nobody removed the write-ahead log"
        kept = client.notify("Acknowledged").id
        assert locks(daemon.database) == held
    daemon.kill()
    row = database.get(kept)
    assert row is not None and row["title"] == "Acknowledged"
    with database.connection() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_both_sides_write_at_once_and_nothing_is_lost(daemon: Daemon) -> None:
    each = 100
    failures: list[BaseException] = []

    def run(write: Callable[[str], object], name: str) -> None:
        try:
            for number in range(each):
                write(f"{name} {number}")
        except BaseException as error:  # The thread has nobody else to tell.
            failures.append(error)

    database = NotificationDB(daemon.database)
    with daemon.client() as client, client.watch() as watch:
        writers: dict[str, Callable[[str], object]] = {
            "python 1": lambda title: database.create("info", title, ""),
            "python 2": lambda title: NotificationDB(daemon.database).create("info", title, ""),
            "grpc": client.notify,
        }
        threads = [threading.Thread(target=run, args=(write, name)) for name, write in writers.items()]
        for thread in threads:
            thread.start()
        events = list(itertools.islice(watch, each * len(writers)))
        for thread in threads:
            thread.join(60)
    assert not failures
    assert [event.sequence for event in events] == list(range(events[0].sequence, events[0].sequence + len(events)))
    told = [event.notification.title for event in events]
    for name in writers:
        assert [title for title in told if title.startswith(name)] == [f"{name} {number}" for number in range(each)]


def test_a_rebuilt_table_is_still_followed(daemon: Daemon) -> None:
    """The usual recipe for a change that ALTER TABLE cannot make drops all triggers in silence."""
    database = NotificationDB(daemon.database)
    with daemon.client() as client, client.watch() as watch:
        kept = client.notify("Kept")
        assert next(watch).notification.id == kept.id
        with database.connection() as connection:
            connection.isolation_level = None
            connection.execute("BEGIN IMMEDIATE")
            (definition,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'notifications'").fetchone()
            head, columns = definition.split("(", 1)
            connection.execute(f"CREATE TABLE rebuilt ({columns}")
            connection.execute("INSERT INTO rebuilt SELECT * FROM notifications")
            connection.execute("DROP TABLE notifications")
            connection.execute("ALTER TABLE rebuilt RENAME TO notifications")
            # Nothing journals this one: the daemon has to find it.
            connection.execute(
                "INSERT INTO notifications (type, title, message, created_at, updated_at) VALUES ('info', 'Unseen', '', '', '')"
            )
            connection.execute("COMMIT")
        assert next(watch).notification.title == "Unseen"
        database.create("info", "Seen", "")
        assert next(watch).notification.title == "Seen"
        assert client.get(kept.id).title == "Kept"


def test_how_soon_a_watcher_hears_of_a_foreign_write(daemon: Daemon, report: Callable[[str], None]) -> None:
    database = NotificationDB(daemon.database)
    spans: list[float] = []
    with daemon.client() as client, client.watch() as watch:
        for number in range(200):
            id = database.create("info", f"Number {number}", "")
            committed = time.monotonic()
            assert next(watch).notification.id == id
            spans.append((time.monotonic() - committed) * 1000)
    spans.sort()
    report(f"foreign write to watcher: median {statistics.median(spans):.1f} ms, p99 {spans[197]:.1f} ms, of {len(spans)}")
