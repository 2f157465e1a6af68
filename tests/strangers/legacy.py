"""The way in which existing Python tooling uses ``notifications.db``: it opens the file itself, with one connection per operation."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

SCHEMA = """
CREATE TABLE IF NOT EXISTS notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    type TEXT NOT NULL,
    priority TEXT NOT NULL DEFAULT 'normal',
    title TEXT NOT NULL,
    message TEXT NOT NULL,
    context TEXT,
    status TEXT NOT NULL DEFAULT 'pending',
    user_response TEXT,
    created_at TEXT NOT NULL,
    updated_at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_notifications_status ON notifications(status);
CREATE INDEX IF NOT EXISTS idx_notifications_type ON notifications(type);
CREATE INDEX IF NOT EXISTS idx_notifications_priority ON notifications(priority);
CREATE INDEX IF NOT EXISTS idx_notifications_created_at ON notifications(created_at);
"""

Result = TypeVar("Result")


def now() -> str:
    """UTC without an offset, as the tooling writes times."""
    return datetime.now(timezone.utc).replace(tzinfo=None).isoformat()


def with_retry(operation: Callable[[], Result]) -> Result:
    """Three attempts with growing pauses, for a database that is locked."""
    for pause in (1.0, 2.0):
        try:
            return operation()
        except sqlite3.OperationalError:
            time.sleep(pause)
    return operation()


class NotificationDB:
    """The store of the old tooling."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self.connection() as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA)

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        """A connection for one operation: committed, and closed, at its end."""
        connection = sqlite3.connect(self.path, timeout=30.0)
        try:
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA busy_timeout=30000")
            yield connection
            connection.commit()
        finally:
            connection.close()

    def create(self, type: str, title: str, message: str, priority: str = "normal", context: object = None) -> int:
        """Inserts a pending notification; its id."""

        def insert() -> int:
            with self.connection() as connection:
                stamp = now()
                text = None if context is None else json.dumps(context)
                cursor = connection.execute(
                    "INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at)"
                    " VALUES (?, ?, ?, ?, ?, 'pending', ?, ?)",
                    (type, priority, title, message, text, stamp, stamp),
                )
                assert cursor.lastrowid is not None
                return cursor.lastrowid

        return with_retry(insert)

    def get(self, id: int) -> sqlite3.Row | None:
        """One notification."""

        def select() -> sqlite3.Row | None:
            with self.connection() as connection:
                row: sqlite3.Row | None = connection.execute("SELECT * FROM notifications WHERE id = ?", (id,)).fetchone()
                return row

        return with_retry(select)

    def pending(self) -> list[sqlite3.Row]:
        """The pending notifications, oldest first."""

        def select() -> list[sqlite3.Row]:
            with self.connection() as connection:
                return connection.execute("SELECT * FROM notifications WHERE status = 'pending' ORDER BY created_at").fetchall()

        return with_retry(select)

    def respond(self, id: int, response: str) -> None:
        """Answers, whatever the state was before."""
        self._update("status = 'responded', user_response = ?", id, response)

    def mark_read(self, id: int) -> None:
        """Marks as read, whatever the state was before."""
        self._update("status = 'read'", id)

    def dismiss(self, id: int) -> None:
        """Dismisses, whatever the state was before."""
        self._update("status = 'dismissed'", id)

    def delete(self, id: int) -> None:
        """Removes a row: the tooling does not, people do."""
        with self.connection() as connection:
            connection.execute("DELETE FROM notifications WHERE id = ?", (id,))

    def _update(self, assignments: str, id: int, *values: str) -> None:
        def update() -> None:
            with self.connection() as connection:
                connection.execute(f"UPDATE notifications SET {assignments}, updated_at = ? WHERE id = ?", (*values, now(), id))

        with_retry(update)
