"""What every test here starts from: a real daemon in a directory of its own, and the programs that are strangers to it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemon import Daemon

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon on an empty data directory."""
    with Daemon(tmp_path / "data") as running:
        yield running


@pytest.fixture
def legacy_dir(tmp_path: Path) -> Path:
    """A data directory with the database of the old tooling, and no daemon."""
    directory = tmp_path / "data"
    directory.mkdir(mode=0o700)
    shutil.copy(ROOT / "tests/fixtures/legacy/notifications.db", directory / "notifications.db")
    return directory


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Prints a measured value at the end of the run: reported, and no reason to pass or fail."""
    return request.config.stash.setdefault(_REPORTS, []).append


_REPORTS = pytest.StashKey[list[str]]()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if reports := config.stash.get(_REPORTS, []):
        terminalreporter.section("measured")
        for line in reports:
            terminalreporter.line(line)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leaves out the longer tests, unless they are wanted."""
    if os.environ.get("BARISTA_LONG") != "1":
        for item in items:
            if item.get_closest_marker("long"):
                item.add_marker(pytest.mark.skip(reason="long; run with BARISTA_LONG=1"))
