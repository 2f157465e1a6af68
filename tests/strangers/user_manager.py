"""A systemd of a user, for tests: a real one, in a mount namespace and a control group of its own. It touches nothing of the machine's."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

from daemon import BINARIES, LIMIT

MANAGER = "/usr/lib/systemd/systemd"
# It runs only on a machine that systemd has booted, which the directory `system` stands for, and needs a control group that it may divide.
SCRIPT = """
set -e
mount -t tmpfs tmpfs /run/systemd
mkdir /run/systemd/system
umount -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$1"
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
exec "$2" --user
"""


class Unavailable(Exception):
    """Why no systemd of a user can run here."""


class UserManager:
    """A systemd of a user whose home is `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # A socket's path must be short, and pytest's directories are deep.
        self._runtime = Path(tempfile.mkdtemp(prefix="systemd-"))
        self._group = f"barista-test-{os.getpid()}-{self._runtime.name}"
        self._log = self._runtime / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What a person has who has logged in."""
        return {
            "PATH": f"{BINARIES}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "USER": "ann",
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self._runtime),
            "SYSTEMD_LOG_TARGET": "console",
        }

    def __enter__(self) -> UserManager:
        if sys.platform != "linux" or not Path(MANAGER).exists() or shutil.which("unshare") is None:
            raise Unavailable("there is no systemd")
        if os.geteuid() != 0:
            raise Unavailable("only root can give a systemd a control group of its own")
        notify = self._runtime / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard, open(self._log, "wb") as log:
            heard.bind(str(notify))
            heard.settimeout(LIMIT)
            self._process = subprocess.Popen(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", self._group, MANAGER],
                env={**self.environment, "NOTIFY_SOCKET": str(notify)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            # A datagram socket says nothing when the other side ends, so its end sends something, too.
            subprocess.Popen(
                ["sh", "-c", 'tail --pid="$0" -f /dev/null; python3 -c "$1" "$2"', str(self._process.pid), _LAST_WORD, str(notify)],
                stderr=subprocess.DEVNULL,
            )
            while b"READY=1" not in (said := heard.recv(4096)):
                if said == b"ENDED":
                    self.__exit__(None, None, None)
                    raise Unavailable(f"systemd does not run here: {self.log()}")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        process, self._process = self._process, None
        if process is not None:
            # For a systemd this asks for an orderly end of itself and all its units.
            process.send_signal(signal.SIGTERM)
            process.wait(LIMIT)
        remove_group(self._group)
        self._said = self._log.read_text(errors="replace")
        shutil.rmtree(self._runtime, ignore_errors=True)

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._process else self._said

    def run(self, *command: str | Path, code: int = 0) -> str:
        """Runs a command as this user, and returns what it wrote; its exit code must be `code`."""
        assert self._process is not None
        done = subprocess.run(
            ["nsenter", "--target", str(self._process.pid), "--mount", *command],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LIMIT,
        )
        assert done.returncode == code, f"{command} ended with {done.returncode}:\n{done.stdout}\nsystemd said:\n{self.log()}"
        return done.stdout


def remove_group(name: str) -> None:
    """Removes a control group, and those below it, where the machine shows it."""
    mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    for mount in [fields[1] for fields in mounts if fields[2] == "cgroup2"]:
        group = Path(mount) / name
        below = [path for path in group.rglob("*") if path.is_dir()] if group.exists() else []
        for directory in [*reversed(below), *([group] if group.exists() else [])]:
            directory.rmdir()


_LAST_WORD = """
import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b"ENDED", sys.argv[1])
"""
