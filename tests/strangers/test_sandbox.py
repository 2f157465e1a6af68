"""An agent in a sandbox, and the daemon as in a container: what clients/docker describes, run by bubblewrap, as there need not be a Docker here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemon import BINARIES, LIMIT, ROOT, Daemon, barista

pytestmark = pytest.mark.skipif(sys.platform != "linux" or shutil.which("bwrap") is None, reason="bubblewrap is a tool of Linux")

DOCKER = ROOT / "clients/docker"
# What a small image has: programs and libraries, nothing of anybody's home.
IMAGE = ["--ro-bind", "/usr", "/usr", "--proc", "/proc", "--dev", "/dev"]
for link in ("bin", "lib", "lib64", "sbin"):
    if Path("/", link).is_symlink():
        IMAGE += ["--symlink", f"usr/{link}", f"/{link}"]
    elif Path("/", link).is_dir():
        IMAGE += ["--ro-bind", f"/{link}", f"/{link}"]
IMAGE += ["--ro-bind", str(BINARIES), "/usr/local/bin", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    described: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())
    return described


@pytest.fixture(autouse=True)
def _namespaces() -> None:
    """Some systems keep people from making namespaces, and then nothing can be said here."""
    tried = subprocess.run(["bwrap", *IMAGE, "--unshare-all", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"bubblewrap does not work here: {tried.stderr}")


def isolated(service: dict[str, Any], volume: Path) -> list[str]:
    """The options of bubblewrap for a service of the compose file, whose volume is the directory `volume`."""
    assert service["network_mode"] == "none" and service["read_only"] and service["cap_drop"] == ["ALL"]
    # Without a user namespace of their own, programs stay the user that they are, as in a container.
    options = ["bwrap", *IMAGE, "--unshare-all", "--die-with-parent", "--clearenv", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"]
    for mount in service["volumes"]:
        if isinstance(mount, str):
            source, target = mount.split(":")
            assert source == "data"
            options += ["--bind", str(volume), target]
        else:
            assert (mount["type"], mount["source"]) == ("volume", "data")
            path = volume / mount["volume"]["subpath"]
            options += ["--ro-bind" if mount["read_only"] else "--bind", str(path), mount["target"]]
    for directory in service.get("tmpfs", []):
        options += ["--tmpfs", directory]
    for name, value in service.get("environment", {}).items():
        options += ["--setenv", name, str(value)]
    return options


def finish(command: list[str], code: int = 0) -> str:
    """Runs a command to its end, which must be with `code`; what it printed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == code, f"{shlex.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_a_sandboxed_agent_can_ask_and_wait_and_do_nothing_else(compose: dict[str, Any], daemon: Daemon) -> None:
    sandbox = isolated(compose["services"]["agent"], daemon.data_dir)
    agent = [*sandbox, *compose["services"]["agent"]["entrypoint"]]
    with subprocess.Popen(
        [*agent, "ask", "Shall I?", "--option", "yes", "--option", "no"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as asking:
        assert asking.stderr is not None and asking.stdout is not None
        found = re.search(r"Waiting for a response to #(\d+)", asking.stderr.readline())
        assert found is not None
        question = found[1]
        # It may not answer, not even itself.
        finish([*agent, "respond", question, "yes"], code=4)
        # The door of people is not there, and nothing of theirs.
        seen = finish([*sandbox, "find", "/run/barista"]).split()
        assert sorted(seen) == ["/run/barista", "/run/barista/agent.sock"]
        # Nor can a socket be put in the place of the daemon's.
        assert "Read-only file system" in finish([*sandbox, "rm", "/run/barista/agent.sock"], code=1)
        # There is no network: not even the machine itself answers.
        assert finish([*sandbox, "cat", "/proc/net/route"]).count("\n") <= 1
        barista(daemon.data_dir, "respond", question, "yes")
        assert asking.stdout.read() == "yes\n"
        assert asking.wait(LIMIT) == 0
    shown = json.loads(barista(daemon.data_dir, "show", question, "--json"))
    assert shown["notification"]["fromAgentSocket"] is True


def test_the_sandbox_would_be_open_with_the_whole_directory(compose: dict[str, Any], daemon: Daemon) -> None:
    """The control: with `run` mounted in place of `run/agent`, the same sandbox answers for people."""
    service = {**compose["services"]["agent"], "environment": {"BARISTA_SOCKET": "/run/barista/barista.sock", "HOME": "/tmp"}}
    [mount] = service["volumes"]
    service["volumes"] = [{**mount, "volume": {"subpath": "run"}}]
    agent = [*isolated(service, daemon.data_dir), "barista"]
    question = finish([*agent, "ask", "Shall I?", "--no-wait"]).split()[0]
    finish([*agent, "respond", question, "yes"])


def test_the_container_of_the_daemon_is_healthy_when_the_daemon_is(compose: dict[str, Any], tmp_path: Path) -> None:
    final = (DOCKER / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    instructions = dict(line.split(" ", 1) for line in final.splitlines()[1:] if line and not line.startswith("#"))
    assert instructions["USER"] == "1000:1000"
    name, volume = instructions["ENV"].split("=")
    volume_dir = tmp_path / "data"
    volume_dir.mkdir(mode=0o700)
    assert volume == instructions["VOLUME"] == "/data"
    container = [*isolated(compose["services"]["baristad"], volume_dir), "--setenv", name, volume]
    health = json.loads(instructions["HEALTHCHECK"].partition(" CMD ")[2])
    [entrypoint] = json.loads(instructions["ENTRYPOINT"])
    finish([*container, *health], code=1)
    # As the first process there, it ends when it is told to.
    script = f'{entrypoint} 2>/data/said & until {shlex.join(health)}; do kill -0 $! || exit 9; done; kill -TERM $!; wait $!'
    finish([*container, "--as-pid-1", "--cap-drop", "ALL", "sh", "-c", script])
    assert " stopped" in (volume_dir / "said").read_text()


def test_what_the_image_is_built_from_is_there() -> None:
    text = (DOCKER / "Dockerfile").read_text()
    built = re.search(r"cargo build .*", text)
    assert built is not None and "--locked" in built[0]
    kept = [line[1:] for line in (DOCKER / "Dockerfile.dockerignore").read_text().splitlines() if line.startswith("!")]
    assert all((ROOT / path).exists() for path in kept)
    # Every file that the two programs include at build time is among what is kept.
    included = re.compile(r'include_(?:str|bytes)!\("([^"]+)"\)')
    for source in [*ROOT.glob("src/**/*.rs"), *ROOT.glob("clients/cli/src/**/*.rs")]:
        for name in included.findall(source.read_text()):
            path = (source.parent / name).resolve().relative_to(ROOT)
            assert any(path.is_relative_to(root) for root in kept), f"{source} includes {path}"
