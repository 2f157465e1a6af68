"""The secret that makes notifications an agent's own.

Over the agent socket a notification belongs to whoever knows the key that it was created with. So the key must outlive the process that asks,
or nobody could wait for the answer later; and it is sent over no other socket.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from .errors import SessionKeyUnusable

#: The metadata that carries the key.
KEY_HEADER = "barista-session-key"
#: The environment variable that holds a key.
KEY_VARIABLE = "BARISTA_SESSION_KEY"


def session_key(environment: Mapping[str, str]) -> str:
    """The key of this user: from ``BARISTA_SESSION_KEY``, else from ``$XDG_STATE_HOME/barista/session.key`` (by default in
    ``~/.local/state``), which is made when it is missing, as `barista` and the Rust library do.

    Raises `SessionKeyUnusable`.
    """
    if given := environment.get(KEY_VARIABLE):
        return given
    path = _key_file(environment)
    try:
        return _kept(path)
    except OSError as error:
        raise _unusable(f"cannot keep one in {path}: {error}") from error


def _unusable(reason: str) -> SessionKeyUnusable:
    return SessionKeyUnusable(
        f"no session key for the agent socket: {reason}; set {KEY_VARIABLE} to 32 to 128 random letters and digits, or pass session_key"
    )


def _key_file(environment: Mapping[str, str]) -> Path:
    state = environment.get("XDG_STATE_HOME", "")
    if os.path.isabs(state):
        return Path(state) / "barista/session.key"
    if home := environment.get("HOME"):
        return Path(home) / ".local/state/barista/session.key"
    raise _unusable("neither XDG_STATE_HOME nor HOME says where to keep one")


def _kept(path: Path) -> str:
    """The key in ``path``, or one that is made there. Of several processes that come at once, all get the same."""
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
        # Unlike a rename this fails where another process was first, and never shows half a file.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)


def _read(path: Path) -> str:
    """Reads a key that nobody else can know."""
    facts = path.lstat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise PermissionError("it is not a file that only you can read; remove it")
    return path.read_text(encoding="ascii").strip()
