"""What Barista replaces: every process opens the database itself, with a connection per operation.

Used by barista-bench as the opponent. Each command prints JSON, one object per line.

There is no way to be told of a response here: whoever asked polls. A process that looks once per interval learns of a response half an
interval late on average, and a whole interval late at worst, whatever the database does.
"""

import argparse
import datetime
import json
import multiprocessing
import platform
import sqlite3
import time

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

INSERT = """
INSERT INTO notifications (type, priority, title, message, context, status, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


def connect(database):
    """Opens the database as every operation does. FULL is what makes a commit survive a power cut, as Barista's do."""
    connection = sqlite3.connect(database, timeout=30)
    connection.execute("PRAGMA busy_timeout=30000")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def create_schema(database):
    """Does what direct tooling does each time it starts."""
    connection = connect(database)
    connection.executescript(SCHEMA)
    connection.commit()
    connection.close()


def create(database, title, message, context):
    """One operation: connect, insert, commit, close."""
    connection = connect(database)
    now = datetime.datetime.utcnow().isoformat()
    connection.execute(INSERT, ("info", "normal", title, message, context, "pending", now, now))
    connection.commit()
    connection.close()


def context_of(number):
    """The same text as Barista's rows have."""
    return '{"source":"barista-bench","sequence":%d}' % number


def caller(index, arguments, barrier, results):
    """Creates until the time is up. Counts as Barista's callers do: for the rate, each with the share of its time within the window; the
    latencies of those that began in it."""
    barrier.wait()
    start = time.monotonic() + arguments.warm_up
    end = start + arguments.seconds
    completed, failed, latencies, number = 0, 0, [], 0
    while (began := time.monotonic()) < end:
        number += 1
        try:
            create(arguments.database, f"Benchmark {index}-{number}", arguments.message, context_of(number))
        except sqlite3.OperationalError:
            failed += 1
            continue
        ended = time.monotonic()
        completed += max(0, min(ended, end) - max(began, start)) / max(ended - began, 1e-9)
        if began >= start:
            latencies.append((ended - began) * 1e3)
    results.put({"completed": completed, "failed": failed, "latencies_ms": latencies})


def run_create(arguments):
    """Many processes that create, all at the same time."""
    create_schema(arguments.database)
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(arguments.callers), context.Queue()
    processes = [
        context.Process(target=caller, args=(index, arguments, barrier, results))
        for index in range(arguments.callers)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        print(json.dumps(results.get()), flush=True)
    for process in processes:
        process.join()


def run_once(arguments):
    """One notification by a process of its own, as a script does it."""
    create_schema(arguments.database)
    create(arguments.database, "x", arguments.message, context_of(1))


def run_foreign(arguments):
    """Writes beside a running daemon, at a steady pace. The title is the time right before the insert, on the machine's monotonic clock."""
    create_schema(arguments.database)
    period = 1 / arguments.per_second
    due = time.monotonic()
    latencies = []
    for number in range(arguments.count):
        time.sleep(max(0, due - time.monotonic()))
        due += period
        connection = connect(arguments.database)
        now = datetime.datetime.utcnow().isoformat()
        began = time.monotonic_ns()
        row = ("info", "normal", str(began), arguments.message, context_of(number), "pending", now, now)
        connection.execute(INSERT, row)
        connection.commit()
        latencies.append((time.monotonic_ns() - began) / 1e6)
        connection.close()
    print(json.dumps({"completed": arguments.count, "failed": 0, "latencies_ms": latencies}), flush=True)


def run_dismiss(arguments):
    """Dismisses every second notification of a database that has no daemon, as direct tooling does it, in transactions of a fair size."""
    connection = connect(arguments.database)
    now = datetime.datetime.utcnow().isoformat()
    (last,) = connection.execute("SELECT max(id) FROM notifications").fetchone()
    for start in range(0, last + 1, 50_000):
        connection.execute(
            "UPDATE notifications SET status = 'dismissed', updated_at = ? WHERE id >= ? AND id < ? AND id % 2 = 0",
            (now, start, start + 50_000),
        )
        connection.commit()
    connection.close()


def run_version(_arguments):
    """Says what this is measured with."""
    print(json.dumps({"python": platform.python_version(), "sqlite": sqlite3.sqlite_version}), flush=True)


def main():
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, run in {"create": run_create, "once": run_once, "foreign": run_foreign, "dismiss": run_dismiss, "version": run_version}.items():
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--database")
        command.add_argument("--message", default="")
        command.add_argument("--callers", type=int, default=1)
        command.add_argument("--seconds", type=float, default=1)
        command.add_argument("--warm-up", type=float, default=0)
        command.add_argument("--count", type=int, default=1)
        command.add_argument("--per-second", type=float, default=50)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
