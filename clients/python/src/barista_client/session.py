"""One connection to a daemon that has been checked and has shaken hands."""

from __future__ import annotations

import os
import random
import socket as sockets
import struct
import time
from pathlib import Path
from urllib.parse import quote

import grpc

from .errors import BaristaError, Disconnected, NotRunning, ProtocolMismatch, RpcError, TimedOut, from_grpc
from .locate import check_socket_file, trust
from .pb.admin.v1.admin_pb2 import AUTHORITY_AGENT, ServerInfo
from .pb.admin.v1.admin_service_pb2 import GetServerInfoRequest, GetServerInfoResponse
from .pb.admin.v1.admin_service_pb2_grpc import AdminServiceStub
from .pb.consumer.v1.consumer_service_pb2_grpc import ConsumerServiceStub
from .pb.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from .session_key import KEY_HEADER, session_key

#: The revision of the protocol that this package speaks.
PROTOCOL = 1
#: How long a connection may take until the daemon has said who it is, in seconds.
CONNECT_TIMEOUT = 5.0
#: The largest reply that is taken, in bytes: a full page of notifications with full texts and contexts is the largest there is.
MAX_REPLY_BYTES = 64 * 1024 * 1024

_OPTIONS: list[tuple[str, str | int]] = [
    # Over a Unix socket gRPC would send the escaped path as the authority, which HTTP/2 servers refuse.
    ("grpc.default_authority", "localhost"),
    ("grpc.max_receive_message_length", MAX_REPLY_BYTES),
    # Otherwise all channels to one path share a connection, its window and the pauses between its attempts.
    ("grpc.use_local_subchannel_pool", 1),
    # A daemon that hangs ends a stream after about 50 s, however silent the stream is by itself.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.primary_user_agent", "barista-client-python/0.1.0"),
]


class Session:
    """A connection. A new one may lead to another daemon, so each begins with a handshake."""

    def __init__(self, socket: Path, key: str | None = None) -> None:
        """Connects. ``key`` is the secret for the agent socket; None: the one that is kept for this user.

        Raises `NotRunning`, `UntrustedSocket`, `ProtocolMismatch`, `SessionKeyUnusable`, `Disconnected` or `TimedOut`.
        """
        self.socket = socket
        _probe(socket)
        # The rest of the URI is percent-decoded.
        self.channel = grpc.insecure_channel(f"unix:{quote(os.fsencode(socket))}", options=_OPTIONS)
        try:
            self.info = self._shake_hands()
            #: What goes with each call: over the agent socket the secret, elsewhere nothing.
            self.metadata: tuple[tuple[str, str], ...] = ()
            if self.info.authority == AUTHORITY_AGENT:
                self.metadata = ((KEY_HEADER, session_key(os.environ) if key is None else key),)
        except BaseException:
            self.channel.close()
            raise
        self.notifications = NotificationServiceStub(self.channel)
        self.consumers = ConsumerServiceStub(self.channel)

    def close(self) -> None:
        """Ends the connection and every call on it."""
        self.channel.close()

    def _shake_hands(self) -> ServerInfo:
        try:
            reply: GetServerInfoResponse = AdminServiceStub(self.channel).GetServerInfo(
                GetServerInfoRequest(), timeout=CONNECT_TIMEOUT
            )
        except grpc.RpcError as error:
            raise from_grpc(error, self.socket) from error
        info = reply.info
        if not info.protocol_min <= PROTOCOL <= info.protocol_max:
            advice = (
                "update this package to the daemon's release"
                if info.protocol_min > PROTOCOL
                else "restart the daemon with `barista daemon restart`"
            )
            raise ProtocolMismatch(
                f"the daemon (version {info.version}, process {info.pid}) speaks protocol {info.protocol_min} to "
                f"{info.protocol_max} and this package {PROTOCOL}; {advice}"
            )
        return info


def _probe(path: Path) -> None:
    """Checks who is behind the socket before anything is said to them.

    gRPC does not show its own connection. Whoever could put another socket in this place between the two already acts as this user.
    """
    uid = os.geteuid()
    try:
        check_socket_file(path, uid)
        with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as probe:
            _connect(probe, path)
            # Elsewhere than on Linux the owner of the file has to do.
            if hasattr(sockets, "SO_PEERCRED"):
                size = struct.calcsize("3i")
                _, owner, _ = struct.unpack("3i", probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, size))
                trust(f"the process behind {path}", owner, uid)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotRunning(path) from error
    except OSError as error:
        raise Disconnected(f"cannot connect to {path}: {error}; see `barista doctor`") from error


def _connect(probe: sockets.socket, path: Path) -> None:
    """Connects, and waits while the daemon's queue of new connections is full: on a Unix socket that is an error, not a wait."""
    end = time.monotonic() + CONNECT_TIMEOUT
    probe.settimeout(CONNECT_TIMEOUT)
    while True:
        try:
            return probe.connect(os.fsencode(path))
        except BlockingIOError:
            if time.monotonic() >= end:
                raise TimedOut(f"the daemon on {path} does not take connections; see `barista doctor`") from None
            time.sleep(0.01)


class Patience:
    """Decides how often something that should go on for long is tried again after failures."""

    def __init__(self, limit: float | None) -> None:
        """Gives up once nothing has worked for ``limit`` seconds; None: never."""
        self._limit = limit
        self._since: float | None = None
        self._next = 0.02

    def pause(self, error: BaristaError) -> float:
        """Takes note of ``error``. The seconds to pause before the next attempt; raises ``error`` to give up."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if self._limit is not None and now - self._since >= self._limit:
            raise error
        whole = self._next
        self._next = min(whole * 2, 2.0)
        # Up to half of it is chance, so that many clients do not return in step.
        pause = whole * random.uniform(0.5, 1.0)
        if isinstance(error, RpcError) and error.retry_after is not None:
            return max(pause, error.retry_after.total_seconds())
        return pause

    def worked(self) -> None:
        """Takes note that an attempt worked."""
        self._since = None
        self._next = 0.02
