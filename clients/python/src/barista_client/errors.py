"""What can go wrong, in classes that a caller can act on. The text of each says what failed, why, and what to do next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

#: The ``ErrorInfo.domain`` of every error that the daemon itself made.
DOMAIN = "barista"


class BaristaError(Exception):
    """Any error of this package."""


class NoDataDirectory(BaristaError):
    """No rule names a data directory."""


class NotRunning(BaristaError):
    """Nobody listens on the socket."""

    def __init__(self, socket: Path) -> None:
        super().__init__(f"no daemon answers on {socket}; start one with `barista daemon start`")


class UntrustedSocket(BaristaError):
    """The socket, its directory or the process behind it belongs to somebody else."""


class ProtocolMismatch(BaristaError):
    """The daemon serves no revision of the protocol that this package speaks."""


class Disconnected(BaristaError):
    """The connection broke before the answer came. A change may or may not have been stored."""


class TimedOut(BaristaError):
    """The daemon did not answer in time. A change may or may not have been stored."""


class SessionKeyUnusable(BaristaError):
    """The agent socket needs a secret, and none can be read or kept."""


class InvalidReply(BaristaError):
    """The daemon's answer breaks its contract, as an event out of order would."""


@dataclass(frozen=True)
class FieldViolation:
    """A field of a request that breaks its rule."""

    #: The field's path, as in ``options[2].name``.
    field: str
    #: The rule.
    description: str


class RpcError(BaristaError):
    """The daemon answered with an error. Decide on `reason`, show the text."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: tuple[FieldViolation, ...] = (),
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(message or f"the daemon answered {code.name} without a word")
        #: The gRPC code.
        self.code = code
        #: A name of ``barista.error.v1.ErrorReason`` without its prefix, as in ``NOTIFICATION_CLOSED``. Empty where the daemon gave none.
        self.reason = reason
        #: Details under the names that ``ErrorReason`` documents for each reason.
        self.metadata = dict(metadata or {})
        #: The fields at fault where the input is.
        self.field_violations = field_violations
        #: When a repetition may help. None: the daemon did not say.
        self.retry_after = retry_after


class NotificationNotFound(RpcError):
    """There is no notification with this id."""


class NotificationClosed(RpcError):
    """The notification has reached an end state. The metadata has ``state`` and, where known, ``responder`` and ``response``."""


class InvalidField(RpcError):
    """A field of the request breaks its rule: see ``field_violations``."""


class ResponseNotAllowed(RpcError):
    """The response is not among the options, and the notification takes no free text."""


class RequestIdReused(RpcError):
    """The request id was used for other content."""


class CursorLost(RpcError):
    """A watch cannot go on from its place: the changes after it are no longer kept, or it belongs to another epoch of the database.

    Start a new watch with a snapshot.
    """


class ConsumerNotFound(RpcError):
    """There is no durable consumer with this name, or it was deleted while it was watched."""


class ConsumerExists(RpcError):
    """There is a durable consumer with this name already."""


class ConsumerTakenOver(RpcError):
    """A newer watch of the same durable consumer has begun, so this one is over."""


class ConsumerReset(RpcError):
    """The durable consumer was moved to another place; watch again to go on from there."""


class SetAsideEventNotFound(RpcError):
    """The durable consumer has set no change with this sequence aside, or it was taken off the list."""


_CLASSES: dict[str, type[RpcError]] = {
    "NOTIFICATION_NOT_FOUND": NotificationNotFound,
    "NOTIFICATION_CLOSED": NotificationClosed,
    "INVALID_FIELD": InvalidField,
    "RESPONSE_NOT_ALLOWED": ResponseNotAllowed,
    "REQUEST_ID_REUSED": RequestIdReused,
    "SEQUENCE_COMPACTED": CursorLost,
    "UNKNOWN_CURSOR": CursorLost,
    "CONSUMER_NOT_FOUND": ConsumerNotFound,
    "CONSUMER_EXISTS": ConsumerExists,
    "CONSUMER_TAKEN_OVER": ConsumerTakenOver,
    "CONSUMER_RESET": ConsumerReset,
    "SET_ASIDE_EVENT_NOT_FOUND": SetAsideEventNotFound,
}


def from_grpc(error: grpc.RpcError, socket: Path) -> BaristaError:
    """Translates what a call on ``socket`` ended with."""
    # Every error that a call raises is the call, too; the types do not say so.
    call = cast(grpc.Call, error)
    code = call.code() or grpc.StatusCode.UNKNOWN
    message = call.details() or ""
    info, violations, retry_after = _details(_status(call))
    if info is None and code is grpc.StatusCode.UNAVAILABLE:
        return Disconnected(
            f"the connection to the daemon on {socket} broke; a change that was being made may or may not have been stored: {message}"
        )
    # A timer at the daemon's end says CANCELLED.
    if info is None and code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED):
        return TimedOut(
            f"the daemon on {socket} did not answer in time, so a change may or may not have been stored; try again, or see `barista doctor`"
        )
    reason = info.reason if info is not None else ""
    metadata = dict(info.metadata) if info is not None else {}
    return _CLASSES.get(reason, RpcError)(code, message, reason, metadata, violations, retry_after)


def _status(call: grpc.Call) -> Status | None:
    """The rich status of a call; None where there is none, or one that cannot be read: the plain one still tells something."""
    try:
        status: Status | None = rpc_status.from_call(call)
        return status
    except (ValueError, DecodeError):
        return None


def _details(
    status: Status | None,
) -> tuple[ErrorInfo | None, tuple[FieldViolation, ...], timedelta | None]:
    info: ErrorInfo | None = None
    violations: tuple[FieldViolation, ...] = ()
    retry_after: timedelta | None = None
    for detail in status.details if status is not None else ():
        found = ErrorInfo()
        bad_request = BadRequest()
        retry = RetryInfo()
        if detail.Unpack(found) and found.domain == DOMAIN:
            info = found
        elif detail.Unpack(bad_request):
            violations = tuple(FieldViolation(v.field, v.description) for v in bad_request.field_violations)
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.ToTimedelta()
    return info, violations, retry_after


def needs_connection(error: BaristaError) -> bool:
    """Whether a new connection is needed before the call is worth repeating."""
    return isinstance(error, (NotRunning, Disconnected)) or reason_of(error) == "SHUTTING_DOWN"


def is_worth_repeating(error: BaristaError) -> bool:
    """Whether a call that is safe to repeat is worth repeating at once."""
    return needs_connection(error) or reason_of(error) == "COMMIT_UNKNOWN"


def is_passing(error: BaristaError) -> bool:
    """Whether a wait or a watch should outlast it."""
    if needs_connection(error) or isinstance(error, TimedOut):
        return True
    return isinstance(error, RpcError) and (
        error.code is grpc.StatusCode.UNAVAILABLE or error.reason == "TOO_MANY_STREAMS"
    )


def reason_of(error: BaristaError) -> str:
    """The daemon's reason, empty where it gave none or was not reached."""
    return error.reason if isinstance(error, RpcError) else ""
