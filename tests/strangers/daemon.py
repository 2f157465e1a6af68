"""Runs the real programs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

from barista_client import Client

ROOT = Path(__file__).resolve().parents[2]
BINARIES = Path(os.environ.get("BARISTA_BIN_DIR", ROOT / "target/debug"))
# How long something may take that should happen at once; it only ends a test that would hang.
LIMIT = 60.0


class Daemon:
    """A daemon that can be stopped, killed and started again on the same data directory."""

    def __init__(self, data_dir: Path, *flags: str) -> None:
        self.data_dir = data_dir
        self.database = data_dir / "notifications.db"
        self.flags = flags
        # A program that starts the daemon's, as the same process in the end: strace with its faults.
        self.under: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None
        self._log = data_dir.with_name(data_dir.name + ".log")

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self.kill()

    def start(self) -> None:
        """Starts it, and returns when it says that it is ready, as it says to a service manager."""
        with (
            tempfile.TemporaryDirectory() as directory,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager,
            open(self._log, "ab") as log,
        ):
            address = f"{directory}/notify"
            manager.bind(address)
            manager.settimeout(LIMIT)
            self._process = subprocess.Popen(
                [*self.under, BINARIES / "baristad", "--data-dir", self.data_dir, *self.flags],
                env={**os.environ, "NOTIFY_SOCKET": address},
                stdin=subprocess.DEVNULL,
                stderr=log,
            )
            try:
                while b"READY=1" not in manager.recv(4096):
                    pass
            except TimeoutError:
                raise AssertionError(f"the daemon is not ready; it says:\n{self.log()}") from None

    def stop(self) -> None:
        """Asks it to stop, and waits until it has."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a crash does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(how)
        process.wait(LIMIT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def socket(self) -> Path:
        return Path((self.data_dir / "run/socket.path").read_text())

    def client(self) -> Client:
        return Client(self.data_dir)

    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text()


def barista(data_dir: Path, *arguments: str) -> str:
    """Runs the command line; its output."""
    done = subprocess.run(
        [BINARIES / "barista", "--data-dir", data_dir, *arguments], check=True, capture_output=True, text=True, timeout=LIMIT
    )
    return done.stdout.strip()
