"""Asking, answering, waiting and listing."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from . import locate
from .errors import BaristaError, ConsumerExists, Disconnected, from_grpc, is_passing, is_worth_repeating, needs_connection
from .pb.admin.v1.admin_pb2 import ServerInfo
from .pb.consumer.v1 import consumer_service_pb2 as consumers
from .pb.consumer.v1.consumer_pb2 import CONSUMER_POSITION_OLDEST, Consumer
from .pb.notification.v1 import notification_service_pb2 as calls
from .pb.notification.v1.notification_pb2 import Cursor, Notification, Option
from .session import Patience, Session
from .watch import Watch
from .words import (
    KindWord,
    OrderWord,
    PriorityWord,
    StartWord,
    StateWord,
    TypeWord,
    filter_of,
    is_open,
    kind_of,
    order_of,
    priority_of,
    start_of,
    type_of,
)

#: How long one call waits, in seconds. Tools between an agent and this package tend to end calls after 60 s.
WAIT_STEP = 50.0
#: How much later than its wait a call's own limit is, in seconds: the daemon's answer to the wait must come first.
WAIT_MARGIN = 5.0
#: How long a daemon that was there may be away before a call or a wait gives up, in seconds.
ABSENCE_LIMIT = 30.0

Reply = TypeVar("Reply", bound=Message)
Pick = Callable[[Session], Any]


class Client:
    """Talks to the daemon that owns a data directory.

    The daemon must run already: ``barista daemon start`` starts it, and so does every command of ``barista`` that needs it. Nothing is
    sent before the first call. A client may be used by several threads at once.

    Each method raises a subclass of `BaristaError`. Methods that change something carry a request id, so that they can be repeated after
    a broken connection or a restart of the daemon without doing it twice; they repeat themselves for up to 30 s.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        socket: str | os.PathLike[str] | None = None,
        *,
        agent: str | None = None,
        session: str | None = None,
        project: str | None = None,
        surface: str = "python",
        call_timeout: float = 35.0,
        session_key: str | None = None,
    ) -> None:
        """Names the daemon by its data directory, or by its socket; without either, by the rules that all of Barista follows:
        ``BARISTA_DATA_DIR``, else the nearest ``data/barista.toml``, else the user's own data directory.

        ``agent``, ``session`` and ``project`` say on whose behalf things are asked and told; by default ``BARISTA_AGENT``,
        ``BARISTA_SESSION`` (or ``CLAUDE_CODE_SESSION_ID``) and ``BARISTA_PROJECT`` do. ``surface`` is recorded as the way that
        changes came. ``call_timeout`` limits each call, in seconds.

        ``session_key`` matters only over the agent socket, where a notification belongs to whoever knows the key that it was created with: 32 to
        128 random letters and digits. By default it is ``BARISTA_SESSION_KEY``, else one that is kept in
        ``$XDG_STATE_HOME/barista/session.key`` (by default in ``~/.local/state``) and made when it is missing.
        """
        self._socket = Path(socket).absolute() if socket is not None else None
        self._data_dir = locate.data_dir(data_dir, os.environ, Path.cwd()) if socket is None else None
        environment = os.environ.get
        self._agent = environment("BARISTA_AGENT", "") if agent is None else agent
        own = environment("BARISTA_SESSION") or environment("CLAUDE_CODE_SESSION_ID", "")
        self._agent_session = own if session is None else session
        self._project = environment("BARISTA_PROJECT", "") if project is None else project
        self._surface = surface
        self._call_timeout = call_timeout
        self._session_key = session_key
        self._lock = threading.Lock()
        self._open: Session | None = None
        self._was_open = False

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection. Watches have their own and go on. A later call connects again."""
        with self._lock:
            session, self._open = self._open, None
        if session is not None:
            session.close()

    @property
    def socket(self) -> Path:
        """The socket of the daemon, looked up anew each time: a restart may move it."""
        if self._socket is not None:
            return self._socket
        assert self._data_dir is not None
        return locate.socket_of(self._data_dir, os.geteuid())

    def info(self) -> ServerInfo:
        """Who the daemon is, as it said when this client connected."""
        return self._session().info

    def ask(
        self,
        title: str,
        message: str = "",
        *,
        options: Iterable[str | Option] = (),
        allow_text: bool = False,
        allow_multiple: bool = False,
        priority: PriorityWord = "normal",
        context: Mapping[str, object] | None = None,
        tags: Iterable[str] = (),
        expires: datetime | timedelta | None = None,
        default: str = "",
        wait: float | timedelta | None = None,
        request_id: str | None = None,
    ) -> Notification:
        """Asks a question and waits for its end: forever, or for ``wait`` (seconds); 0 does not wait.

        Look at what comes back: ``answer.response.text`` where ``answer.HasField("response")``; otherwise it was dismissed, cancelled,
        expired (silence is not consent), or, with ``wait``, is still open (`is_open`) and can be waited for again by its id. A
        restart of the daemon meanwhile loses nothing.

        Without ``options`` any text answers. ``expires`` is a time or a span; ``default`` is then the response that the question takes.
        ``request_id`` (a UUID) makes the whole call repeatable: the same one asks only once in 24 hours.
        """
        request = self._draft("question", title, message, priority, context, tags, expires, request_id)
        request.options.extend(option if isinstance(option, Option) else Option(name=option) for option in options)
        request.allow_text, request.allow_multiple, request.default_response = allow_text, allow_multiple, default
        question = self.create(request)
        limit = _seconds(wait)
        return question if limit == 0 or not is_open(question) else self.wait(question.id, limit)

    def notify(
        self,
        title: str,
        message: str = "",
        *,
        type: TypeWord = "info",
        priority: PriorityWord = "normal",
        context: Mapping[str, object] | None = None,
        tags: Iterable[str] = (),
        expires: datetime | timedelta | None = None,
        request_id: str | None = None,
    ) -> Notification:
        """Tells something, without waiting. Returns the notification as stored: durable when this returns."""
        return self.create(self._draft(type, title, message, priority, context, tags, expires, request_id))

    def create(self, request: calls.CreateNotificationRequest) -> Notification:
        """Creates what ``request`` says: the full interface behind `ask` and `notify`. Fills in an empty ``request_id``."""
        if not request.request_id:
            request.request_id = str(uuid.uuid4())
        return self._call(lambda session: session.notifications.CreateNotification, request, calls.CreateNotificationResponse).notification

    def respond(
        self,
        id: int,
        text: str = "",
        *,
        options: Iterable[str] = (),
        responder: str | None = None,
        request_id: str | None = None,
    ) -> Notification:
        """Answers a notification: with ``text``, which may be the name of an option, or with ``options``.

        ``responder`` is by default ``BARISTA_USER``, else the login name. Raises `NotificationClosed` when somebody else was first,
        `ResponseNotAllowed`, `NotificationNotFound`.
        """
        request = calls.RespondNotificationRequest(
            id=id,
            text=text,
            options=options,
            responder=_person() if responder is None else responder,
            surface=self._surface,
            request_id=request_id or str(uuid.uuid4()),
        )
        return self._call(lambda session: session.notifications.RespondNotification, request, calls.RespondNotificationResponse).notification

    def mark_read(self, id: int, *, actor: str | None = None) -> Notification:
        """Marks a notification as read."""
        request = calls.MarkNotificationReadRequest(id=id, actor=_person() if actor is None else actor, surface=self._surface)
        return self._call(lambda session: session.notifications.MarkNotificationRead, request, calls.MarkNotificationReadResponse).notification

    def dismiss(self, id: int, *, actor: str | None = None) -> Notification:
        """Puts a notification away without a response. Raises `NotificationClosed` when it is in another end state."""
        request = calls.DismissNotificationRequest(id=id, actor=_person() if actor is None else actor, surface=self._surface)
        return self._call(lambda session: session.notifications.DismissNotification, request, calls.DismissNotificationResponse).notification

    def cancel(self, id: int, *, actor: str | None = None) -> Notification:
        """Withdraws a notification. Raises `NotificationClosed` when it is in another end state. ``actor`` is by default the agent."""
        request = calls.CancelNotificationRequest(id=id, actor=self._agent if actor is None else actor, surface=self._surface)
        return self._call(lambda session: session.notifications.CancelNotification, request, calls.CancelNotificationResponse).notification

    def get(self, id: int) -> Notification:
        """One notification. Raises `NotificationNotFound`."""
        request = calls.GetNotificationRequest(id=id)
        return self._call(lambda session: session.notifications.GetNotification, request, calls.GetNotificationResponse).notification

    def list(
        self,
        *,
        types: Iterable[TypeWord] = (),
        priorities: Iterable[PriorityWord] = (),
        states: Iterable[StateWord] = (),
        agent: str = "",
        session: str = "",
        project: str = "",
        order: OrderWord = "newest first",
        page_size: int = 0,
    ) -> Iterator[Notification]:
        """All matching notifications, fetched a page at a time (``page_size``; 0: the daemon's default) as they are asked for."""
        request = calls.ListNotificationsRequest(
            filter=filter_of(types, priorities, states, agent, session, project),
            order=order_of(order),
            page_size=page_size,
        )
        while True:
            page = self._call(lambda session: session.notifications.ListNotifications, request, calls.ListNotificationsResponse)
            yield from page.notifications
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def wait(self, id: int, timeout: float | timedelta | None = None) -> Notification:
        """Waits until the notification is in an end state or ``timeout`` (seconds; None: no limit) has passed, and returns it as it is.

        The wait is a chain of calls of at most 50 s that goes on across restarts of the daemon. Raises `NotificationNotFound` when there
        is none or it was deleted meanwhile, and the last connection error when the daemon has been away for 30 s.
        """
        limit = _seconds(timeout)
        deadline = None if limit is None else time.monotonic() + limit
        patience = self._patience()
        last: Notification | None = None
        while True:
            step = WAIT_STEP if deadline is None else min(max(deadline - time.monotonic(), 0.0), WAIT_STEP)
            request = calls.WaitNotificationRequest(id=id, timeout=_duration(timedelta(seconds=step)))
            try:
                reply = self._once(lambda session: session.notifications.WaitNotification, request, calls.WaitNotificationResponse, step + WAIT_MARGIN)
            except BaristaError as error:
                if not is_passing(error):
                    raise
                pause = patience.pause(error)
                if deadline is not None and time.monotonic() + pause >= deadline:
                    if last is None:
                        raise
                    return last
                time.sleep(pause)
                continue
            last = reply.notification
            patience.worked()
            if not is_open(last) or (deadline is not None and time.monotonic() >= deadline):
                return last

    def watch(
        self,
        *,
        after: Cursor | None = None,
        start_at: StartWord | None = None,
        types: Iterable[TypeWord] = (),
        priorities: Iterable[PriorityWord] = (),
        states: Iterable[StateWord] = (),
        kinds: Iterable[KindWord] = (),
        agent: str = "",
        session: str = "",
        project: str = "",
        consumer: str = "",
        patience: float | None = None,
    ) -> Watch:
        """Follows changes, each exactly once and in order, from the moment that this returns; see `Watch`.

        Begins after the place ``after`` (`Watch.cursor` of an earlier watch), else as ``start_at`` says: "now" (the default), "oldest" for all that the
        journal keeps, "snapshot" for the matching notifications as they are (`Watch.snapshot`) and then what changes. The daemon may be
        away for ``patience`` seconds before the watch gives up; None: forever.

        With ``consumer``, watches as that durable consumer (`create_consumer`): begins after what it acknowledged, unless ``after`` says otherwise,
        and takes over from whoever watches as it. Call `Watch.acknowledge` when a change is dealt with: what is not acknowledged comes again to
        the next watch. Raises `ConsumerNotFound`.

        Raises `ValueError` for ``start_at`` beside ``consumer`` or ``after``, each of which says where to start.
        """
        if start_at is not None and (consumer or after is not None):
            raise ValueError("start_at contradicts consumer and after: leave it out, or reset the consumer (barista consumer reset)")
        request = calls.WatchNotificationsRequest(
            filter=filter_of(types, priorities, states, agent, session, project),
            kinds=map(kind_of, kinds),
            after=after,
            start_at=None if after is not None or consumer else start_of(start_at or "now"),
            consumer=consumer,
        )
        return Watch(lambda: Session(self.socket, self._session_key), request, patience, self._acknowledge)

    def create_consumer(
        self, name: str, *, after: Cursor | None = None, oldest: bool = False, exist_ok: bool = False
    ) -> Consumer:
        """Creates a durable consumer that begins with the next change, or with the ``oldest`` that is kept, or ``after`` a place.

        Raises `ConsumerExists`, unless ``exist_ok``: then one that exists is returned where it is.
        """
        request = consumers.CreateConsumerRequest(request_id=str(uuid.uuid4()), name=name)
        if after is not None:
            request.after.CopyFrom(after)
        elif oldest:
            request.position = CONSUMER_POSITION_OLDEST
        try:
            return self._call(lambda session: session.consumers.CreateConsumer, request, consumers.CreateConsumerResponse).consumer
        except ConsumerExists:
            if not exist_ok:
                raise
        return self.get_consumer(name)

    def get_consumer(self, name: str) -> Consumer:
        """One durable consumer, with how far behind it is. Raises `ConsumerNotFound`."""
        request = consumers.GetConsumerRequest(name=name)
        return self._call(lambda session: session.consumers.GetConsumer, request, consumers.GetConsumerResponse).consumer

    def _acknowledge(self, request: consumers.AcknowledgeConsumerRequest) -> None:
        self._call(lambda session: session.consumers.AcknowledgeConsumer, request, consumers.AcknowledgeConsumerResponse)

    def _draft(
        self,
        type: TypeWord,
        title: str,
        message: str,
        priority: PriorityWord,
        context: Mapping[str, object] | None,
        tags: Iterable[str],
        expires: datetime | timedelta | None,
        request_id: str | None,
    ) -> calls.CreateNotificationRequest:
        draft = calls.CreateNotificationRequest(
            request_id=request_id or "",
            type=type_of(type),
            priority=priority_of(priority),
            title=title,
            message=message,
            context="" if context is None else json.dumps(context, ensure_ascii=False),
            agent=self._agent,
            session=self._agent_session,
            project=self._project,
            tags=tags,
            surface=self._surface,
        )
        if isinstance(expires, timedelta):
            draft.ttl.CopyFrom(_duration(expires))
        elif expires is not None:
            # A time without a zone means local time everywhere in Python but in protobuf, which takes it for UTC.
            draft.expire_time.FromDatetime(expires.astimezone(timezone.utc))
        return draft

    def _patience(self) -> Patience:
        """Patience with a daemon that goes away. One that never was there is an error at once."""
        if not self._was_open:
            self._session()
        return Patience(ABSENCE_LIMIT)

    def _session(self) -> Session:
        with self._lock:
            if self._open is None:
                self._open = Session(self.socket, self._session_key)
                self._was_open = True
            return self._open

    def _drop(self, session: Session) -> None:
        with self._lock:
            if self._open is session:
                self._open = None
        session.close()

    def _call(self, pick: Pick, request: Message, reply: type[Reply]) -> Reply:
        """Makes a call that is safe to repeat, and repeats it while that promises something."""
        patience = self._patience()
        while True:
            try:
                return self._once(pick, request, reply, self._call_timeout)
            except BaristaError as error:
                if not is_worth_repeating(error):
                    raise
                time.sleep(patience.pause(error))

    def _once(self, pick: Pick, request: Message, reply: type[Reply], limit: float) -> Reply:
        session = self._session()
        try:
            received = pick(session)(request, timeout=limit, metadata=session.metadata)
        except (grpc.RpcError, ValueError) as failure:
            # Another thread found the connection broken first and closed it under this call.
            if self._open is not session:
                raise Disconnected(f"the connection to the daemon on {session.socket} broke") from failure
            if not isinstance(failure, grpc.RpcError):
                raise
            error = from_grpc(failure, session.socket)
            if needs_connection(error):
                self._drop(session)
            raise error from failure
        assert isinstance(received, reply)
        return received


def _seconds(span: float | timedelta | None) -> float | None:
    return span.total_seconds() if isinstance(span, timedelta) else span


def _duration(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _person() -> str:
    """Who answers where nobody is named."""
    names = (os.environ.get(variable) for variable in ("BARISTA_USER", "USER", "LOGNAME"))
    return next((name for name in names if name), "")
