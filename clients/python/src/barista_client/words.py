"""The words that callers use for what the wire has numbers for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from .pb.notification.v1.notification_pb2 import (
    ChangeKind,
    Notification,
    NotificationFilter,
    NotificationState,
)

TypeWord = Literal["question", "info", "warning", "error", "completion"]
PriorityWord = Literal["critical", "high", "normal", "low"]
StateWord = Literal["pending", "read", "responded", "dismissed", "cancelled", "expired"]
KindWord = Literal["created", "read", "responded", "dismissed", "cancelled", "expired", "updated", "deleted"]
OrderWord = Literal["newest first", "oldest first", "most urgent first"]
StartWord = Literal["now", "oldest", "snapshot"]


# Messages take the values of their enumerations by name when they are made, and refuse a name that they do not know.


def type_of(word: TypeWord) -> str:
    return f"NOTIFICATION_TYPE_{word.upper()}"


def priority_of(word: PriorityWord) -> str:
    return f"PRIORITY_{word.upper()}"


def state_of(word: StateWord) -> str:
    return f"NOTIFICATION_STATE_{word.upper()}"


def kind_of(word: KindWord) -> str:
    return f"CHANGE_KIND_{word.upper()}"


def order_of(word: OrderWord) -> str:
    return f"LIST_ORDER_{word.upper().replace(' ', '_')}"


def start_of(word: StartWord) -> str:
    return f"START_AT_{word.upper()}"


def filter_of(
    types: Iterable[TypeWord],
    priorities: Iterable[PriorityWord],
    states: Iterable[StateWord],
    agent: str,
    session: str,
    project: str,
) -> NotificationFilter:
    return NotificationFilter(
        types=map(type_of, types),
        priorities=map(priority_of, priorities),
        states=map(state_of, states),
        agent=agent,
        session=session,
        project=project,
    )


def is_open(notification: Notification) -> bool:
    """Whether the notification can still be answered: it is in none of the four end states.

    A state outside the vocabulary, which only direct tooling writes, counts as open: nothing says that it has ended.
    """
    return state_word(notification) not in ("responded", "dismissed", "cancelled", "expired")


def state_word(notification: Notification) -> str:
    """The state as a word, as in "responded"; where direct tooling wrote a word of its own, that one."""
    return notification.custom_state or _word(NotificationState, "NOTIFICATION_STATE_", notification.state)


def kind_word(kind: ChangeKind) -> str:
    """The kind of a change as a word, as in "created"."""
    return _word(ChangeKind, "CHANGE_KIND_", kind)


def _word(enum: type[NotificationState] | type[ChangeKind], prefix: str, value: int) -> str:
    """The name of a value; a number where a newer daemon sent what this package has no name for."""
    name = next((name for name, number in enum.items() if number == value), str(value))
    return name.removeprefix(prefix).lower()
