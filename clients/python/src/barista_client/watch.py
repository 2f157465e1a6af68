"""Following changes: a stream that reconnects and resumes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import grpc

from .errors import BaristaError, Disconnected, InvalidReply, from_grpc, is_passing
from .pb.consumer.v1.consumer_service_pb2 import AcknowledgeConsumerRequest
from .pb.notification.v1.notification_pb2 import Cursor, Notification, NotificationEvent
from .pb.notification.v1.notification_service_pb2 import (
    START_AT_SNAPSHOT,
    START_AT_UNSPECIFIED,
    WatchNotificationsRequest,
    WatchNotificationsResponse,
    WatchStarted,
)
from .session import Patience, Session


class Watch:
    """An iterator over changes (``NotificationEvent``), each exactly once, in the order of their sequence.

    When the connection breaks or the daemon restarts, the watch connects again, with growing pauses, and resumes behind the last event: no
    gap, no duplicate. It has a connection of its own, so one that is read slowly delays no other call.

    Iterating raises `CursorLost` where the journal no longer reaches back to the place to resume from, and `InvalidReply` rather than hand out
    anything that would be a gap, a duplicate or out of order. `close`, also from another thread, ends the iteration.
    """

    def __init__(
        self,
        connect: Callable[[], Session],
        request: WatchNotificationsRequest,
        patience: float | None,
        acknowledge: Callable[[AcknowledgeConsumerRequest], None],
    ) -> None:
        """Connects, and returns when the daemon has confirmed the place that the watch begins at. Use `Client.watch`."""
        self._connect = connect
        self._request = request
        self._patience = Patience(patience)
        self._send_acknowledgement = acknowledge
        self._session: Session | None = None
        self._call: Any = None
        self._ready: deque[NotificationEvent] = deque()
        self._closed = threading.Event()
        #: The matching notifications as they were at the start, oldest first, where a snapshot was asked for.
        self.snapshot: list[Notification] = []
        self._cursor = Cursor()
        # What has come, as opposed to what has been handed out.
        self._received: Cursor | None = None
        # The last change that was handed out, and what is acknowledged; both begin where the watch does.
        self._handed_out = 0
        self._acknowledged = 0
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the watch."""
        self._closed.set()
        self._disconnect()

    @property
    def cursor(self) -> Cursor:
        """The place behind the last event that was handed out: a later watch ``after`` it misses nothing and repeats nothing."""
        return Cursor(epoch=self._cursor.epoch, sequence=self._cursor.sequence)

    def acknowledge(self, event: NotificationEvent | None = None) -> None:
        """Tells the daemon that everything up to ``event`` is dealt with, by default up to the last change handed out; returns when that is durable.

        Changes that the filter hides are acknowledged with what surrounds them, or when the daemon reports that it has passed them.

        Only for a watch of a consumer. Raises `ConsumerReset` when the consumer was moved meanwhile: the next change raises it, too; watch again.
        """
        if not self._request.consumer:
            raise ValueError("this watch is no consumer's: give a consumer to Client.watch")
        through = self.cursor
        if event is not None:
            through.sequence = event.sequence
        self._acknowledge(through)

    def _acknowledge(self, through: Cursor) -> None:
        self._send_acknowledgement(
            AcknowledgeConsumerRequest(
                name=self._request.consumer,
                through=through,
                generation=self._request.consumer_generation,
                watch=self._request.consumer_watch,
            )
        )
        self._acknowledged = max(self._acknowledged, through.sequence)

    def _acknowledge_hidden(self) -> None:
        """Acknowledges what the filter hid behind the last change, once everything is acknowledged that was handed out."""
        is_done = self._acknowledged >= self._handed_out
        if self._request.consumer and is_done and self._cursor.sequence > self._acknowledged:
            self._acknowledge(self.cursor)

    def __iter__(self) -> Iterator[NotificationEvent]:
        return self

    def __next__(self) -> NotificationEvent:
        """Waits for the next change."""
        while not self._ready:
            # Whatever has come has been handed out, progress included.
            if self._received is not None:
                self._cursor.CopyFrom(self._received)
            try:
                if self._closed.is_set():
                    raise StopIteration
                self._acknowledge_hidden()
                if self._session is None:
                    self._start()
                self._accept(self._message())
                self._patience.worked()
            except BaristaError as error:
                self._disconnect()
                if self._closed.is_set():
                    raise StopIteration from None
                if not is_passing(error):
                    self._closed.set()
                    raise
                self._closed.wait(self._patience.pause(error))
        event = self._ready.popleft()
        self._cursor.sequence = event.sequence
        self._handed_out = event.sequence
        return event

    def _start(self) -> None:
        """Connects, from the place that was reached, and takes everything up to the first change."""
        session = self._connect()
        self._session = session
        request = WatchNotificationsRequest()
        request.CopyFrom(self._request)
        if self._received is not None:
            request.after.CopyFrom(self._received)
            request.start_at = START_AT_UNSPECIFIED
        self._call = session.notifications.WatchNotifications(request, metadata=session.metadata)
        message = self._message()
        if message.WhichOneof("message") != "started":
            raise InvalidReply("a watch did not begin with its start")
        self._check_start(request, message.started)
        # A snapshot is one moment of the database: a second half of it cannot be had later, so it counts only when complete.
        snapshot: list[Notification] = []
        last = request.start_at != START_AT_SNAPSHOT
        while not last:
            part = self._message()
            if part.WhichOneof("message") != "snapshot":
                raise InvalidReply("a change came before the snapshot was complete")
            snapshot.extend(part.snapshot.notifications)
            last = part.snapshot.last
        if self._received is None:
            self.snapshot = snapshot
            self._cursor.CopyFrom(message.started.cursor)
            self._handed_out = self._acknowledged = message.started.cursor.sequence
        # So that a later connection of this watch hears of a reset instead of undoing it, and of a newer watch instead of ending that.
        self._request.consumer_generation = message.started.consumer_generation
        self._request.consumer_watch = message.started.consumer_watch
        self._received = Cursor(epoch=message.started.cursor.epoch, sequence=message.started.cursor.sequence)

    @staticmethod
    def _check_start(request: WatchNotificationsRequest, started: WatchStarted) -> None:
        if not request.HasField("after"):
            return
        asked, found = request.after, started.cursor
        if asked.sequence != found.sequence or asked.epoch not in ("", found.epoch):
            raise InvalidReply(
                f'a watch from {asked.sequence} of epoch "{asked.epoch}" began at {found.sequence} of epoch "{found.epoch}"'
            )

    def _message(self) -> WatchNotificationsResponse:
        session = self._session
        assert session is not None
        try:
            message = next(self._call)
        except StopIteration:
            raise Disconnected(f"the daemon on {session.socket} ended the watch without a reason") from None
        except grpc.RpcError as error:
            raise from_grpc(error, session.socket) from error
        assert isinstance(message, WatchNotificationsResponse)
        return message

    def _accept(self, message: WatchNotificationsResponse) -> None:
        place = self._received
        assert place is not None
        kind = message.WhichOneof("message")
        if kind == "events":
            for event in message.events.events:
                if event.sequence <= place.sequence:
                    raise InvalidReply(f"event {event.sequence} came after {place.sequence}")
                place.sequence = event.sequence
                self._ready.append(event)
        elif kind == "progress":
            to = message.progress.cursor
            if to.epoch != place.epoch or to.sequence < place.sequence:
                raise InvalidReply(f"progress came to {to.sequence} after {place.sequence}")
            place.sequence = to.sequence
        elif kind is not None:
            raise InvalidReply(f"a watch that had begun went on with {kind}")

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if self._call is not None:
            self._call.cancel()
        if session is not None:
            session.close()
