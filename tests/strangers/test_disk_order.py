"""In which order a backup and a restore reach the disk: strace writes it down, as a power cut could come between any two steps."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from daemon import BINARIES, LIMIT, Daemon, barista

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="strace is a tool of Linux")

TRACED = "trace=pwrite64,fsync,fdatasync,link,linkat,rename,renameat,renameat2,mkdir,mkdirat"


class Steps:
    """What was done to the disk: ``("write", path)``, ``("sync", path)``, ``("name", old, new)`` and ``("make", directory)``, each when it had succeeded."""

    def __init__(self, log: Path) -> None:
        self.all: list[tuple[str, ...]] = []
        begun: dict[str, str] = {}
        for line in log.read_text().splitlines():
            thread, call = line.split(maxsplit=1)
            if call.endswith("<unfinished ...>"):
                begun[thread] = call.removesuffix("<unfinished ...>")
                continue
            if resumed := re.match(r"<\.\.\. \w+ resumed>", call):
                call = begun.pop(thread) + call[resumed.end() :]
            if call.endswith(" = 0") or call.startswith("pwrite64("):
                self._take(call)

    def _take(self, call: str) -> None:
        if written := re.match(r"pwrite64\(\d+<([^>]+)>", call):
            self.all.append(("write", written[1]))
            return
        names = re.findall(r'"([^"]*)"', call)
        if synced := re.match(r"(?:fsync|fdatasync)\(\d+<([^>]+)>", call):
            self.all.append(("sync", synced[1]))
        elif call.startswith("mkdir"):
            self.all.append(("make", names[0]))
        elif len(names) == 2:
            self.all.append(("name", names[0], names[1]))

    def named(self, path: Path) -> int:
        """When a file got the name ``path``."""
        found = [at for at, step in enumerate(self.all) if step[0] == "name" and step[2] == str(path)]
        assert len(found) == 1, (path, self.all)
        return found[0]

    def old_name(self, path: Path) -> Path:
        return Path(self.all[self.named(path)][1])

    def assert_whole(self, path: Path, before: int) -> None:
        """Checks that a file was written, and synced after that."""
        touched = [step[0] for step in self.all[:before] if step[0] in ("write", "sync") and step[1] == str(path)]
        assert "write" in touched and touched[-1] == "sync", (path, touched)

    def assert_synced(self, path: Path, after: int = 0, before: int | None = None) -> None:
        assert ("sync", str(path)) in self.all[after:before], (path, after, before, self.all)


def strace() -> str:
    found = shutil.which("strace")
    assert found, "strace is missing; install it with: sudo apt-get install strace"
    return found


def test_a_backup_is_on_the_disk_before_it_has_its_name_and_its_name_before_anybody_is_told(tmp_path: Path) -> None:
    """Fails when ``NewBackup::publish`` does not sync the directory, and when nobody syncs the file: SQLite does (``open_copy``), and ``publish`` again."""
    log = tmp_path / "strace.log"
    with Daemon(tmp_path / "data") as daemon:
        daemon.stop()
        daemon.under = [strace(), "-D", "-f", "-qq", "-y", "-o", str(log), "-e", TRACED]
        daemon.start()
        with daemon.client() as client:
            client.notify("Kept")
        made = Path(json.loads(barista(daemon.data_dir, "db", "backup", "--json"))["path"])
        steps = Steps(log)
    named = steps.named(made)
    steps.assert_whole(steps.old_name(made), before=named)
    steps.assert_synced(made.parent, after=named)
    # The directory for backups was new.
    steps.assert_synced(made.parents[1], after=steps.all.index(("make", str(made.parent))), before=named)


def test_each_step_of_a_restore_is_on_the_disk_before_the_next(tmp_path: Path) -> None:
    """Fails when ``DataDir::finish_replacing`` leaves out a sync of a directory, and when nobody syncs the new file: SQLite does (``open_copy``), and
    ``Replacement::decide`` again."""
    log = tmp_path / "strace.log"
    with Daemon(tmp_path / "data") as daemon:
        made = json.loads(barista(daemon.data_dir, "db", "backup", "--json"))["path"]
        daemon.stop()
        restore = [BINARIES / "baristad", "--data-dir", daemon.data_dir, "--restore", made]
        traced = [strace(), "-f", "-qq", "-y", "-o", log, "-e", TRACED, *restore]
        subprocess.run(traced, check=True, capture_output=True, timeout=LIMIT)
        steps = Steps(log)
        data, database = daemon.data_dir, daemon.database
    incoming = steps.old_name(database)
    aside = incoming.parent
    # The decision: the new file is whole, and so is the way to it.
    decided, placed = steps.named(incoming), steps.named(database)
    steps.assert_whole(steps.old_name(incoming), before=decided)
    steps.assert_synced(data, after=steps.all.index(("make", str(aside))), before=decided)
    moved = steps.named(aside / database.name)
    # What was decided is known before anything is moved, and what was moved before the new file comes.
    steps.assert_synced(aside, after=decided, before=moved)
    steps.assert_synced(aside, after=moved, before=placed)
    steps.assert_synced(data, after=moved, before=placed)
    steps.assert_synced(data, after=placed)
