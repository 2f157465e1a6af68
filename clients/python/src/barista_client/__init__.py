"""Ask people, and follow what agents ask, through a Barista daemon.

>>> from barista_client import Client
>>> with Client() as barista:  # doctest: +SKIP
...     answer = barista.ask("Install pandas 2.0?", options=["approve", "deny"])
...     print(answer.response.text)

The daemon must run: ``barista daemon start`` starts it. The messages that are returned are generated from Barista's ``proto/``, whose
comments say what each field means.
"""

from .client import Client
from .errors import (
    BaristaError,
    ConsumerExists,
    ConsumerNotFound,
    ConsumerReset,
    ConsumerTakenOver,
    CursorLost,
    Disconnected,
    FieldViolation,
    InvalidField,
    InvalidReply,
    NoDataDirectory,
    NotificationClosed,
    NotificationNotFound,
    NotRunning,
    ProtocolMismatch,
    RequestIdReused,
    ResponseNotAllowed,
    RpcError,
    SessionKeyUnusable,
    SetAsideEventNotFound,
    TimedOut,
    UntrustedSocket,
)
from .pb.consumer.v1.consumer_pb2 import Consumer
from .pb.notification.v1.notification_pb2 import Cursor, Notification, NotificationEvent, Option, Response
from .watch import Watch
from .words import is_open, kind_word, state_word

__all__ = [
    "BaristaError",
    "Client",
    "Consumer",
    "ConsumerExists",
    "ConsumerNotFound",
    "ConsumerReset",
    "ConsumerTakenOver",
    "Cursor",
    "CursorLost",
    "Disconnected",
    "FieldViolation",
    "InvalidField",
    "InvalidReply",
    "NoDataDirectory",
    "NotRunning",
    "Notification",
    "NotificationClosed",
    "NotificationEvent",
    "NotificationNotFound",
    "Option",
    "ProtocolMismatch",
    "RequestIdReused",
    "Response",
    "ResponseNotAllowed",
    "RpcError",
    "SessionKeyUnusable",
    "SetAsideEventNotFound",
    "TimedOut",
    "UntrustedSocket",
    "Watch",
    "is_open",
    "kind_word",
    "state_word",
]
