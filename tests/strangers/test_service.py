"""The service, under a real systemd of a user."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemon import BINARIES, LIMIT, ROOT
from user_manager import Unavailable, UserManager

UNITS = (".config/systemd/user/barista.socket", ".config/systemd/user/barista.service")
# Each of these means something to systemd, in one place or another.
NASTY = "it's 100% \"näïve\" $HOME \\ %h"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[UserManager]:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    try:
        with UserManager(home) as running:
            yield running
    except Unavailable as why:
        pytest.skip(str(why))


def state(manager: UserManager, code: int = 0) -> dict[str, dict[str, str]]:
    """What `barista service status` says."""
    said: dict[str, dict[str, str]] = json.loads(manager.run("barista", "--quiet", "service", "status", "--json", code=code))
    return said


def test_systemd_finds_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    """Both those that the command writes, for a directory with a name full of traps, and those of the Debian package."""
    data_dir = tmp_path / NASTY / "data"
    data_dir.mkdir(parents=True, mode=0o700)
    said = subprocess.run(
        [BINARIES / "barista", "--data-dir", data_dir, "service", "install", "--dry-run", "--json"],
        env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        timeout=LIMIT,
    )
    written = tmp_path / "units"
    written.mkdir()
    for unit in json.loads(said.stdout)["units"]:
        (written / Path(unit["path"]).name).write_text(unit["text"])
    assert verified(written) == ""
    packaged = tmp_path / "packaged"
    packaged.mkdir()
    for name in ("barista.socket", "barista.service"):
        # The program is there only where the package is installed.
        text = (ROOT / "clients/debian" / name).read_text()
        (packaged / name).write_text(text.replace("/usr/bin/baristad", str(BINARIES / "baristad")))
    assert verified(packaged) == ""
    # The control: a slip of the pen is found.
    unit = packaged / "barista.service"
    unit.write_text(unit.read_text().replace("WatchdogSec=", "WatchdogSecs="))
    assert "WatchdogSecs" in verified(packaged)


def verified(units: Path) -> str:
    """What systemd-analyze says about the units."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", *units.iterdir()],
        env={"HOME": "/home/ann", "PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(units), "SYSTEMD_LOG_TARGET": "console"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
    )
    return done.stdout


def test_the_service_is_installed_used_and_removed(manager: UserManager) -> None:
    run, home = manager.run, manager.home
    assert "next: barista service install" in run("barista", "service", "status", code=5)
    assert "runs as a service" in run("barista", "service", "install")
    installed = state(manager)
    assert {unit["state"] for unit in installed["units"]} == {"current"}  # type: ignore[index]
    assert installed["service"]["enabled"] == installed["socket"]["enabled"] == "enabled"
    assert installed["watchdog"]["lastSignTime"]
    data_dir = home / ".local/share/barista"
    assert (data_dir / "run").stat().st_mode & 0o777 == 0o700
    for path in installed["socket"]["paths"]:
        assert Path(path).stat().st_mode & 0o777 == 0o600
    assert run("barista", "--no-autostart", "notify", "Hello").strip() == "1"
    assert installed["service"]["pid"] == json.loads(run("barista", "status", "--json"))["info"]["pid"]
    # Once more: nothing is done again.
    assert "installed already" in run("barista", "service", "install")
    assert state(manager)["service"]["pid"] == installed["service"]["pid"]

    # A stop is a stop: nobody who connects starts it again.
    run("barista", "daemon", "stop")
    stopped = state(manager, code=69)
    assert (stopped["service"]["active"], stopped["socket"]["active"]) == ("inactive", "inactive")
    assert not Path(installed["socket"]["paths"][0]).exists()
    run("barista", "--no-autostart", "inbox", code=69)
    assert "as a service" in run("barista", "daemon", "start")
    assert state(manager)["service"]["pid"] != installed["service"]["pid"]
    before = state(manager)["service"]["pid"]
    run("barista", "daemon", "restart")
    assert state(manager)["service"]["pid"] not in (None, before)

    # The sockets are systemd's: with the daemon gone, whoever comes starts it.
    run("systemctl", "--user", "stop", "barista.service")
    sandbox = {"BARISTA_SOCKET": installed["socket"]["paths"][1]}
    assert run("env", *(f"{name}={value}" for name, value in sandbox.items()), "barista", "notify", "From a sandbox").strip() == "2"
    assert "From a sandbox" in run("barista", "--no-autostart", "inbox")

    run("barista", "service", "uninstall")
    assert not any((home / unit).exists() for unit in UNITS)
    assert not list((home / ".config").rglob("*.wants/*"))
    assert (data_dir / "notifications.db").exists()
    assert "not installed" in run("barista", "service", "uninstall")


def test_a_daemon_that_fails_is_started_again(manager: UserManager) -> None:
    manager.run("barista", "service", "install")
    killed = state(manager)["service"]["pid"]
    waiting = manager.run("barista", "ask", "Deploy?", "--no-wait").strip()
    os.kill(int(killed), 9)
    # The socket was there all the time, so this waits for the next daemon.
    assert waiting in manager.run("barista", "--no-autostart", "inbox")
    assert state(manager)["service"]["pid"] != killed


def test_a_daemon_that_a_command_started_gives_way_only_when_it_is_told_to(manager: UserManager) -> None:
    manager.run("barista", "notify", "Hello")
    said = manager.run("barista", "service", "install", code=6)
    assert "next: barista service install --restart" in said
    assert not any((manager.home / unit).exists() for unit in UNITS)
    manager.run("barista", "service", "install", "--restart")
    assert "Hello" in manager.run("barista", "--no-autostart", "inbox")
    assert state(manager)["service"]["active"] == "active"


def test_a_name_full_of_traps_is_no_obstacle(manager: UserManager) -> None:
    data_dir = manager.home / NASTY
    manager.run("barista", "--data-dir", data_dir, "service", "install")
    manager.run("barista", "--data-dir", data_dir, "--no-autostart", "notify", "Hello")
    assert (data_dir / "notifications.db").exists()
    # One service serves one directory.
    said = manager.run("barista", "--data-dir", manager.home / "other", "service", "install", code=6)
    assert str(data_dir) in said


def test_units_of_somebody_else_are_left_alone(manager: UserManager) -> None:
    unit = manager.home / UNITS[1]
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=/bin/true\n")
    for command in ("install", "uninstall"):
        assert "was not written by barista" in manager.run("barista", "service", command, code=6)
    assert unit.read_text().endswith("/bin/true\n")
    manager.run("barista", "service", "install", "--force")
    assert "baristad" in unit.read_text()


def test_other_settings_are_noticed_and_a_restart_brings_them_in(manager: UserManager) -> None:
    manager.run("barista", "service", "install")
    data_dir = manager.home / ".local/share/barista"
    (data_dir / "barista.toml").write_text("[agent]\nenabled = false\n")
    assert [unit["state"] for unit in state(manager)["units"]] == ["outdated", "current"]  # type: ignore[index]
    assert "next: barista service install --restart" in manager.run("barista", "doctor")
    manager.run("barista", "service", "install", "--restart")
    assert len(state(manager)["socket"]["paths"]) == 1
    assert not (data_dir / "run/agent/agent.sock").exists()
    # With nothing to write it is restarted all the same: the program may be a newer one.
    before = state(manager)["service"]["pid"]
    assert "was restarted" in manager.run("barista", "service", "install", "--restart")
    assert state(manager)["service"]["pid"] != before
    # A mistake is told before anything is stopped.
    (data_dir / "barista.toml").write_text("[agents]\n")
    assert "nothing was changed" in manager.run("barista", "service", "install", "--restart", code=2)
    assert state(manager)["service"]["active"] == "active"
