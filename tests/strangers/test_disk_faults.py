"""The real daemon on a disk that refuses: strace makes the system calls fail on which durability depends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from barista_client.errors import RpcError, from_grpc
from barista_client.pb.notification.v1 import notification_pb2, notification_service_pb2, notification_service_pb2_grpc
from daemon import LIMIT, Daemon
from test_sqlite_shell import shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace is a tool of Linux")

# The calls that succeed before, in each thread: more than the start needs.
SYNCS = 12
WRITES = 120
ROUNDS = 40


class Faulty:
    """A daemon whose system calls fail, and what its callers were told."""

    def __init__(self, daemon: Daemon, log: Path) -> None:
        self.daemon = daemon
        self.log = log
        self.reasons: list[str] = []
        self.acknowledged: dict[int, str] = {}

    def create(self, title: str) -> None:
        """Creates, and repeats that with the same request id until it is acknowledged."""
        request = notification_service_pb2.CreateNotificationRequest(
            type=notification_pb2.NOTIFICATION_TYPE_INFO, title=title, request_id=str(uuid.uuid4())
        )
        with grpc.insecure_channel(f"unix:{self.daemon.socket}", [("grpc.default_authority", "localhost")]) as channel:
            stub = notification_service_pb2_grpc.NotificationServiceStub(channel)
            until = time.monotonic() + LIMIT
            while True:
                try:
                    self.acknowledged[stub.CreateNotification(request, timeout=LIMIT).notification.id] = title
                    return
                except grpc.RpcError as raised:
                    error = from_grpc(raised, self.daemon.socket)
                    assert isinstance(error, RpcError) and time.monotonic() < until, error
                    self.told(error.reason)

    def told(self, reason: str) -> None:
        self.reasons.append(reason)
        if reason == "DISK_FULL":
            # Reading goes on. Then there is space again.
            with self.daemon.client() as client:
                assert len(list(client.list())) == len(self.acknowledged)
            self.mend()
        time.sleep(0.05)  # There is no event for "it can be written again".

    def mend(self) -> None:
        """Ends strace, which leaves the daemon as it is."""
        if tracer := tracer_of(self.daemon.pid):
            os.kill(tracer, signal.SIGTERM)
            until = time.monotonic() + LIMIT
            while tracer_of(self.daemon.pid):
                assert time.monotonic() < until, "strace does not end"
                time.sleep(0.01)

    def injected(self) -> list[str]:
        """The lines of strace's log about calls that it made fail."""
        return [line for line in self.log.read_text().splitlines() if "(INJECTED)" in line]


def tracer_of(pid: int) -> int:
    found = re.search(r"^TracerPid:\t(\d+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


@pytest.fixture
def faulty(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Faulty]:
    """A daemon under strace with the fault ``request.param``. Its database was made before."""
    strace = shutil.which("strace")
    assert strace, "strace is missing; install it with: sudo apt-get install strace"
    log = tmp_path / "strace.log"
    with Daemon(tmp_path / "data") as daemon:
        daemon.stop()
        traced = "trace=fsync,fdatasync,pwrite64,close"
        # As the daemon's grandchild, so that the daemon is the process that was started; and -I2, so that strace can be told to end.
        daemon.under = [strace, "-D", "-I2", "-f", "-qq", "-y", "-o", str(log), "-e", traced, "-e", f"inject={request.param}"]
        daemon.start()
        assert tracer_of(daemon.pid), f"strace cannot trace here; it says:\n{daemon.log()}"
        # Somebody who reads: the log then outlives the writer's connection.
        with daemon.client() as client:
            assert list(client.list()) == []
        yield Faulty(daemon, log)


def work(faulty: Faulty) -> set[str]:
    """Writes through the fault, ends the daemon as a crash does, and checks that everything is there once; the reasons that callers were told."""
    pid = faulty.daemon.pid
    with faulty.daemon.client() as client, client.watch() as watch:
        for number in range(ROUNDS):
            faulty.create(f"number {number}")
        told = [next(watch).notification.title for _ in range(ROUNDS)]
    assert told == [f"number {number}" for number in range(ROUNDS)]
    assert faulty.daemon.pid == pid, "the same process goes on"
    assert faulty.injected(), "nothing failed"
    faulty.daemon.kill()
    faulty.daemon.under = []
    faulty.daemon.start()
    with faulty.daemon.client() as client:
        assert {found.id: found.title for found in client.list()} == faulty.acknowledged
    assert shell(faulty.daemon.database, "PRAGMA integrity_check;") == "ok"
    return set(faulty.reasons)


@pytest.mark.parametrize("faulty", [f"fsync,fdatasync:error=EIO:when={SYNCS}"], indirect=True)
def test_a_sync_that_fails_is_an_unknown_outcome_and_is_not_repeated(faulty: Faulty) -> None:
    """Fails when the writer answers although its commit failed, or goes on with the connection (``WriterThread::after_error``)."""
    reasons = work(faulty)
    assert "COMMIT_UNKNOWN" in reasons and reasons <= {"COMMIT_UNKNOWN", "DATABASE_UNAVAILABLE"}
    (failed,) = faulty.injected()
    opened = re.search(r"\(\d+<[^>]+>", failed)
    assert opened and opened[0].endswith("notifications.db-wal>")
    lines = faulty.log.read_text().splitlines()
    for line in lines[lines.index(failed) + 1 :]:
        if opened[0] in line:
            # What the sync was to save may be lost, whatever a second one says: the file is let go, looked at and opened anew.
            assert "close(" in line, line
            return
    raise AssertionError("nobody used the log again")


@pytest.mark.parametrize("faulty", [f"pwrite64:error=EIO:when={WRITES}"], indirect=True)
def test_a_write_that_fails_is_survived_without_a_restart(faulty: Faulty) -> None:
    """Fails when ``WriterThread::commit_failed`` answers as if the commit had worked."""
    assert work(faulty) <= {"COMMIT_UNKNOWN", "DATABASE_UNAVAILABLE"}


@pytest.mark.parametrize("faulty", [f"pwrite64:error=ENOSPC:when={WRITES}+"], indirect=True)
def test_a_full_disk_is_named_and_writing_goes_on_when_there_is_space(faulty: Faulty) -> None:
    """Fails when ``WriterThread::commit_failed`` treats a full disk as any other error."""
    assert work(faulty) == {"DISK_FULL"}

