"""The ``sqlite3`` shell on the live database."""

from __future__ import annotations

import itertools
import json
import subprocess
from pathlib import Path

from barista_client import kind_word, state_word
from daemon import LIMIT, Daemon

INSERT = "INSERT INTO notifications (type, title, message, created_at, updated_at) VALUES ('question', {!r}, '', datetime(), datetime());"


def shell(database: Path, script: str) -> str:
    """Runs a script as a person would type it; its output."""
    command = ["sqlite3", "-bail", "-cmd", ".timeout 30000", database]
    done = subprocess.run(command, input=script, check=True, capture_output=True, text=True, timeout=LIMIT)
    return done.stdout.strip()


def test_the_shell_reads_what_the_daemon_writes(daemon: Daemon) -> None:
    with daemon.client() as client:
        asked = client.ask("Read me?", "with 'quotes' and ünïcode", options=["yes"], wait=0)
        client.respond(asked.id, "yes")
    out = shell(daemon.database, f".mode json\nSELECT title, message, status, user_response FROM notifications WHERE id = {asked.id};")
    assert json.loads(out) == [
        {"title": "Read me?", "message": "with 'quotes' and ünïcode", "status": "responded", "user_response": "yes"}
    ]


def test_the_shell_works_before_during_and_after_the_daemon(legacy_dir: Path) -> None:
    database = legacy_dir / "notifications.db"
    before = int(shell(database, INSERT.format("Before") + "SELECT last_insert_rowid();"))
    with Daemon(legacy_dir) as daemon, daemon.client() as client:
        assert client.get(before).title == "Before"
        during = int(shell(database, INSERT.format("During") + "SELECT last_insert_rowid();"))
        assert client.get(during).title == "During"
        daemon.stop()
    shell(database, f"UPDATE notifications SET status = 'dismissed' WHERE id = {during};")
    assert shell(database, "PRAGMA integrity_check; PRAGMA foreign_key_check;") == "ok"
    with Daemon(legacy_dir) as daemon, daemon.client() as client:
        assert state_word(client.get(during)) == "dismissed"


def test_what_is_typed_in_the_shell_reaches_a_watcher_once_and_in_order(daemon: Daemon) -> None:
    with daemon.client() as client, client.watch() as watch:
        script = "".join(INSERT.format(title) for title in ("A", "B", "C"))
        shell(
            daemon.database,
            f"""
            {script}
            BEGIN;
            UPDATE notifications SET status = 'read';
            DELETE FROM notifications WHERE title = 'B';
            COMMIT;
            BEGIN;
            DELETE FROM notifications;
            ROLLBACK;
            INSERT OR REPLACE INTO notifications (id, type, title, message, created_at, updated_at)
                SELECT id, type, 'C again', message, created_at, updated_at FROM notifications WHERE title = 'C';
            INSERT OR IGNORE INTO notifications (id, type, title, message, created_at, updated_at)
                SELECT id, type, 'ignored', message, created_at, updated_at FROM notifications;
            """,
        )
        client.notify("The end")
        events = list(itertools.takewhile(lambda event: event.notification.title != "The end", watch))
    told = [(kind_word(event.kind), event.notification.id, event.notification.title) for event in events]
    assert told == [
        ("created", 1, "A"),
        ("created", 2, "B"),
        ("created", 3, "C"),
        ("read", 1, "A"),
        ("read", 2, "B"),
        ("read", 3, "C"),
        ("deleted", 2, ""),
        ("updated", 3, "C again"),
    ]
    assert [event.sequence for event in events] == list(range(1, 9))


def test_vacuum_in_the_shell_does_not_disturb_the_daemon(daemon: Daemon) -> None:
    with daemon.client() as client, client.watch() as watch:
        first = client.notify("Before the vacuum")
        shell(daemon.database, "VACUUM;")
        second = client.notify("After the vacuum")
        assert [event.notification.id for event in itertools.islice(watch, 2)] == [first.id, second.id]
        assert client.get(first.id).title == "Before the vacuum"
    assert shell(daemon.database, "PRAGMA integrity_check;") == "ok"
