"""Where Barista's data directory and socket are, by the same rules as the daemon and its other clients."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from .errors import NoDataDirectory, UntrustedSocket

#: The longest socket path, in bytes, that every platform takes.
MAX_SOCKET_PATH = 100


def data_dir(flag: str | os.PathLike[str] | None, environment: Mapping[str, str], current_dir: Path) -> Path:
    """The data directory: ``flag``, else ``BARISTA_DATA_DIR``, else the nearest ``data/barista.toml`` in ``current_dir`` or above it,
    else ``$XDG_DATA_HOME/barista`` (by default ``~/.local/share/barista``).

    Empty variables count as absent. Raises `NoDataDirectory` when none of the rules applies.
    """
    if flag is not None:
        return current_dir / flag
    if named := environment.get("BARISTA_DATA_DIR"):
        return current_dir / named
    for directory in (current_dir, *current_dir.parents):
        if (directory / "data" / "barista.toml").is_file():
            return directory / "data"
    base = environment.get("XDG_DATA_HOME", "")
    if os.path.isabs(base):
        return Path(base) / "barista"
    if home := environment.get("HOME"):
        return Path(home) / ".local/share/barista"
    raise NoDataDirectory("no data directory: neither BARISTA_DATA_DIR, XDG_DATA_HOME nor HOME is set; pass data_dir")


def computed_socket(directory: Path, uid: int) -> Path:
    """The path of the socket for the canonical ``directory``: inside it, or a short name under /tmp where that would be too long."""
    path = directory / "run" / "barista.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH:
        return path
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()
    return fallback_dir(uid) / f"{digest[:24]}.sock"


def fallback_dir(uid: int) -> Path:
    """The user's private directory for sockets whose proper path is too long."""
    return Path(f"/tmp/barista-{uid}")


def socket_of(directory: Path, uid: int) -> Path:
    """The socket of the daemon that owns ``directory``: the one that a daemon published, else the computed one.

    A daemon whose configuration puts the socket elsewhere is found through ``run/socket.path`` only. One that was killed leaves that file
    behind, and the next one replaces it before it accepts connections.
    """
    directory = Path(os.path.realpath(directory))
    published = directory / "run" / "socket.path"
    try:
        with open(published, "rb") as file:
            owner = os.fstat(file.fileno()).st_uid
            path = Path(os.fsdecode(file.read(4096)))
    except OSError:
        return computed_socket(directory, uid)
    trust(published, owner, uid)
    return path if path.is_absolute() else computed_socket(directory, uid)


def check_socket_file(socket: Path, uid: int) -> None:
    """Checks that nobody but this user or root can have put ``socket`` there.

    Raises `FileNotFoundError` where there is none and `UntrustedSocket` where somebody else's is.
    """
    directory = fallback_dir(uid)
    if socket.parent == directory:
        facts = os.lstat(directory)
        if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != uid or facts.st_mode & 0o077:
            raise UntrustedSocket(
                f"the socket {socket} is not to be trusted: {directory} is not a directory that only you can use; "
                "remove it, and restart the daemon"
            )
    trust(socket, os.stat(socket).st_uid, uid)


def trust(what: Path | str, owner: int, uid: int) -> None:
    """Raises `UntrustedSocket` unless ``owner`` is this user or root."""
    if owner not in (uid, 0):
        raise UntrustedSocket(
            f"{what} is not to be trusted: it belongs to user id {owner} and you are {uid}; use a data directory of your own"
        )
