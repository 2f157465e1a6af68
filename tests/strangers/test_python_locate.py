"""How the Python client finds the daemon: by the same rules as everybody else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from barista_client import Client, NoDataDirectory, UntrustedSocket, locate
from barista_client.session import PROTOCOL
from daemon import BINARIES, LIMIT, Daemon

UID = os.geteuid()


def test_the_rules_apply_in_their_order(tmp_path: Path) -> None:
    project, below = tmp_path / "project", tmp_path / "project/a/b"
    below.mkdir(parents=True)
    (project / "data").mkdir()
    everything = {"BARISTA_DATA_DIR": "/named", "XDG_DATA_HOME": "/xdg", "HOME": "/home/a"}
    user = {key: value for key, value in everything.items() if key != "BARISTA_DATA_DIR"}
    assert locate.data_dir("here", everything, below) == below / "here"
    assert locate.data_dir(None, everything, below) == Path("/named")
    assert locate.data_dir(None, {**user, "BARISTA_DATA_DIR": ""}, below) == Path("/xdg/barista")
    (project / "data/barista.toml").touch()
    assert locate.data_dir(None, user, below) == project / "data"
    assert locate.data_dir(None, {"XDG_DATA_HOME": "relative", "HOME": "/home/a"}, tmp_path) == Path("/home/a/.local/share/barista")
    with pytest.raises(NoDataDirectory):
        locate.data_dir(None, {}, Path("/"))


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a#b?c=d", "ünï", "long" * 30])
def test_a_daemon_is_found_whatever_its_directory_is_called(tmp_path: Path, name: str) -> None:
    with Daemon(tmp_path / name) as daemon, daemon.client() as client:
        assert client.info().pid == daemon.pid
        assert client.socket == daemon.socket == locate.computed_socket(tmp_path / name, UID)


def test_a_daemon_with_a_socket_of_its_own_is_found(tmp_path: Path) -> None:
    with Daemon(tmp_path / "data", "--socket", str(tmp_path / "elsewhere.sock")) as daemon:
        assert daemon.client().info().pid == daemon.pid
        assert Client(socket=tmp_path / "elsewhere.sock").info().pid == daemon.pid


def test_a_link_to_the_directory_leads_to_its_daemon(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(daemon.data_dir)
    assert Client(tmp_path / "link").info().pid == daemon.pid


def test_python_and_the_command_line_find_the_same_daemon(tmp_path: Path) -> None:
    """The project's directory wins over the user's; both sides look from below it."""
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data/barista.toml").touch()
    environment = {key: value for key, value in os.environ.items() if key != "BARISTA_DATA_DIR"}
    run = {"cwd": below, "env": environment, "check": True, "capture_output": True, "text": True, "timeout": LIMIT}
    with Daemon(tmp_path / "data"):
        noted = subprocess.run([BINARIES / "barista", "notify", "Same place"], **run)  # type: ignore[call-overload]
        assert noted.returncode == 0
        found = locate.data_dir(None, environment, below)
        assert [n.title for n in Client(found).list()] == ["Same place"]


def test_a_socket_of_another_user_is_not_trusted() -> None:
    with pytest.raises(UntrustedSocket, match="user id 1234"):
        locate.trust("the socket", 1234, 1000)
    locate.trust("the socket", 0, 1000)
    locate.trust("the socket", 1000, 1000)


def test_a_private_directory_that_others_can_enter_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locate, "fallback_dir", lambda uid: tmp_path)
    (tmp_path / "x.sock").touch()
    tmp_path.chmod(0o700)
    locate.check_socket_file(tmp_path / "x.sock", UID)
    tmp_path.chmod(0o711)
    with pytest.raises(UntrustedSocket, match="only you can use"):
        locate.check_socket_file(tmp_path / "x.sock", UID)


def test_the_daemon_serves_the_protocol_that_the_package_speaks(daemon: Daemon) -> None:
    info = daemon.client().info()
    assert info.protocol_min <= PROTOCOL <= info.protocol_max
