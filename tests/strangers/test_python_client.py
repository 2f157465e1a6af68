"""The Python client, against the real daemon."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import grpc
import pytest
from barista_client import (
    Client,
    ConsumerNotFound,
    ConsumerTakenOver,
    CursorLost,
    InvalidField,
    NotificationClosed,
    NotificationNotFound,
    NotRunning,
    Option,
    RequestIdReused,
    ResponseNotAllowed,
    RpcError,
    SessionKeyUnusable,
    SetAsideEventNotFound,
    is_open,
    kind_word,
    state_word,
)
from barista_client.errors import from_grpc
from barista_client.pb.consumer.v1.consumer_service_pb2 import DiscardSetAsideEventRequest
from barista_client.pb.consumer.v1.consumer_service_pb2_grpc import ConsumerServiceStub
from daemon import LIMIT, ROOT, Daemon, barista


def test_an_answer_reaches_whoever_asked(daemon: Daemon) -> None:
    with daemon.client() as person, person.watch(types=["question"]) as watch, ThreadPoolExecutor() as pool:
        agent = Client(daemon.data_dir, agent="builder", session="s1", project="shop")
        asking = pool.submit(
            agent.ask,
            "Install pandas 2.0?",
            "It is needed for the report.",
            options=["approve", Option(name="deny", description="Do without")],
            priority="high",
            context={"package": "pandas", "größe": 12},
            tags=["dependency"],
        )
        question = next(watch).notification
        assert (question.agent, question.session, question.project) == ("builder", "s1", "shop")
        assert question.context == '{"package": "pandas", "größe": 12}'
        person.mark_read(question.id, actor="ada")
        person.respond(question.id, "approve", responder="ada")
        answer = asking.result(LIMIT)
    assert state_word(answer) == "responded"
    assert (answer.response.text, answer.response.responder, answer.response.surface) == ("approve", "ada", "python")


def test_a_question_outlives_a_crash_of_the_daemon(daemon: Daemon) -> None:
    with daemon.client() as client, client.watch() as watch, ThreadPoolExecutor() as pool:
        asking = pool.submit(daemon.client().ask, "Still there?")
        question = next(watch).notification
        daemon.kill()
        daemon.start()
        client.respond(question.id, "yes")
        assert asking.result(LIMIT).response.text == "yes"


def test_a_wait_that_ends_leaves_the_question_open(daemon: Daemon) -> None:
    with daemon.client() as client:
        question = client.ask("Later?", wait=0.01)
        assert is_open(question) and not question.HasField("response")
        client.respond(question.id, "now")
        assert client.wait(question.id).response.text == "now"


def test_silence_is_no_consent_and_a_default_says_that_it_is_one(daemon: Daemon) -> None:
    with daemon.client() as client:
        soon = timedelta(milliseconds=50)
        silent = client.ask("Anybody?", expires=soon)
        assert state_word(silent) == "expired" and not silent.HasField("response")
        default = client.ask("Anybody?", options=["yes", "no"], expires=datetime.now() + soon, default="no")
        assert state_word(default) == "expired" and default.response.is_default and default.response.text == "no"


def test_the_first_answer_wins(daemon: Daemon) -> None:
    with daemon.client() as client:
        question = client.ask("Which?", options=["a", "b"], wait=0)
        with pytest.raises(ResponseNotAllowed) as refusal:
            client.respond(question.id, "c")
        assert refusal.value.reason == "RESPONSE_NOT_ALLOWED"
        client.respond(question.id, "a", responder="ada")
        assert client.respond(question.id, "a", responder="ada").response.text == "a"
        with pytest.raises(NotificationClosed) as conflict:
            client.respond(question.id, "b", responder="bob")
        assert conflict.value.code is grpc.StatusCode.FAILED_PRECONDITION
        assert conflict.value.metadata["responder"] == "ada"
        with pytest.raises(NotificationClosed):
            client.cancel(question.id)


def test_each_end_state_has_its_word(daemon: Daemon) -> None:
    with daemon.client() as client:
        ended = [client.dismiss(client.ask("A", wait=0).id), client.cancel(client.ask("B", wait=0).id)]
        assert [state_word(n) for n in ended] == ["dismissed", "cancelled"]
        assert not any(map(is_open, ended))


def test_refusals_name_the_field_and_the_reason(daemon: Daemon) -> None:
    with daemon.client() as client:
        with pytest.raises(InvalidField) as refusal:
            client.notify("x" * 257)
        assert [violation.field for violation in refusal.value.field_violations] == ["title"]
        with pytest.raises(NotificationNotFound, match="4711") as missing:
            client.get(4711)
        assert missing.value.metadata == {"id": "4711"}
        request_id = str(uuid.uuid4())
        first = client.notify("Once", request_id=request_id)
        assert client.notify("Once", request_id=request_id).id == first.id
        with pytest.raises(RequestIdReused):
            client.notify("Twice", request_id=request_id)
        with pytest.raises(RpcError) as large:
            client.notify("Large", "x" * 5_000_000)
        assert large.value.reason == "MESSAGE_TOO_LARGE"


def test_a_list_is_fetched_page_by_page(daemon: Daemon) -> None:
    with daemon.client() as client:
        ids = [client.notify(f"{number}", priority="low" if number % 2 else "high").id for number in range(25)]
        assert [n.id for n in client.list(page_size=4)] == ids[::-1]
        assert [n.id for n in client.list(order="oldest first", priorities=["low"], page_size=5)] == ids[1::2]
        assert list(client.list(states=["responded"])) == []


def test_a_daemon_that_does_not_run_is_an_error_that_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="barista daemon start"):
        Client(tmp_path).ask("Anybody there?")
    with pytest.raises(NotRunning):
        Client(tmp_path).wait(1)


def test_the_daemon_that_the_command_line_starts_is_found(tmp_path: Path) -> None:
    barista(tmp_path / "data", "daemon", "start")
    try:
        with Client(tmp_path / "data") as client:
            id = client.notify("Hello").id
        assert "Hello" in barista(tmp_path / "data", "show", str(id))
    finally:
        barista(tmp_path / "data", "daemon", "stop")


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_watch_goes_on_over_crashes_without_gap_or_duplicate(daemon: Daemon, rounds: int) -> None:
    each = 25
    with daemon.client() as client, client.watch() as watch:

        def write() -> None:
            with daemon.client() as writer:
                for number in range(rounds * each):
                    writer.notify(f"{number}")
                    half_time.release()

        half_time = threading.Semaphore(0)
        writing = threading.Thread(target=write)
        writing.start()
        for _ in range(rounds - 1):
            for _ in range(each):
                assert half_time.acquire(timeout=LIMIT)
            daemon.kill()
            daemon.start()
        titles = [event.notification.title for event in itertools.islice(watch, rounds * each)]
        writing.join(LIMIT)
        assert titles == [f"{number}" for number in range(rounds * each)]
        assert watch.cursor.sequence == rounds * each


def test_a_cursor_resumes_a_watch_and_a_lost_one_is_told(daemon: Daemon) -> None:
    with daemon.client() as client:
        with client.watch() as watch:
            for title in "abc":
                client.notify(title)
            assert [next(watch).notification.title, next(watch).notification.title] == ["a", "b"]
            cursor = watch.cursor
        with client.watch(after=cursor) as watch:
            assert next(watch).notification.title == "c"
        cursor.sequence = 1000
        with pytest.raises(CursorLost) as lost:
            client.watch(after=cursor)
        assert lost.value.reason == "UNKNOWN_CURSOR" and lost.value.metadata["head_sequence"] == "3"


def test_a_snapshot_and_what_follows_tell_everything_once(daemon: Daemon) -> None:
    with daemon.client() as client:
        ids = [client.ask(f"{number}", wait=0).id for number in range(3)]
        client.notify("Not a question")
        with client.watch(start_at="snapshot", types=["question"]) as watch:
            assert [n.id for n in watch.snapshot] == ids
            client.notify("Not a question either")
            client.respond(ids[0], "x")
            event = next(watch)
        assert (kind_word(event.kind), event.notification.id) == ("responded", ids[0])


def test_closing_a_watch_ends_its_iteration(daemon: Daemon) -> None:
    with daemon.client() as client, ThreadPoolExecutor() as pool:
        watch = client.watch()
        ending = pool.submit(list, watch)
        watch.close()
        assert ending.result(LIMIT) == []


def test_many_threads_share_a_client(daemon: Daemon) -> None:
    with daemon.client() as client, ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(lambda number: client.notify(f"{number}").id, range(200)))
    assert sorted(ids) == list(range(1, 201))


def test_the_code_is_typed() -> None:
    mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", ROOT / "target/mypy", "-p", "barista_client"]
    done = subprocess.run(mypy, cwd=ROOT / "clients/python", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_request_without_the_package_needs_nothing_but_the_authority(daemon: Daemon) -> None:
    from barista_client.pb.admin.v1.admin_service_pb2 import GetServerInfoRequest
    from barista_client.pb.admin.v1.admin_service_pb2_grpc import AdminServiceStub

    options = [("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(f"unix:{daemon.socket}", options=options) as channel:
        assert AdminServiceStub(channel).GetServerInfo(GetServerInfoRequest(), timeout=LIMIT).info.pid == daemon.pid


def test_a_consumer_goes_on_after_what_it_acknowledged(daemon: Daemon) -> None:
    with daemon.client() as client:
        with pytest.raises(ConsumerNotFound):
            client.watch(consumer="bell")
        client.create_consumer("bell", oldest=True)
        for title in ("one", "two", "three"):
            client.notify(title)
        with client.watch(consumer="bell") as watch:
            assert next(watch).notification.title == "one"
            watch.acknowledge()
            assert next(watch).notification.title == "two"
        daemon.kill()
        daemon.start()
        assert client.get_consumer("bell").lag == 2
        with client.watch(consumer="bell") as older, client.watch(consumer="bell") as newer:
            assert next(newer).notification.title == "two"
            newer.acknowledge()
            with pytest.raises(ConsumerTakenOver):
                for _ in older:
                    pass
            assert next(newer).notification.title == "three"
        with pytest.raises(ValueError, match="start_at"):
            client.watch(consumer="bell", start_at="oldest")
        place = client.get_consumer("bell").acknowledged.sequence
        assert client.create_consumer("bell", oldest=True, exist_ok=True).acknowledged.sequence == place
        with client.watch() as watch, pytest.raises(ValueError, match="consumer"):
            watch.acknowledge()


def test_what_a_filter_hides_does_not_stay_behind(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.create_consumer("bell", oldest=True)
        with client.watch(consumer="bell", types=["error"]) as watch:
            client.notify("hidden")
            follower = threading.Thread(target=lambda: list(watch))
            follower.start()
            end = time.monotonic() + LIMIT
            while client.get_consumer("bell").lag:
                assert time.monotonic() < end, client.get_consumer("bell")
            watch.close()
            follower.join(LIMIT)


def test_over_the_agent_socket_a_question_belongs_to_the_key_that_it_was_asked_with(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fails when a call or a watch goes out without the session's metadata."""
    socket = daemon.data_dir / "run/agent/agent.sock"
    monkeypatch.delenv("BARISTA_SESSION_KEY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with Client(socket=socket) as agent, agent.watch() as watch:
        asked = agent.ask("Mine?", wait=0)
        assert next(watch).notification.id == asked.id
        assert asked.from_agent_socket
    kept = tmp_path / "state/barista/session.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    # Another program of the same user, and one of nobody.
    with Client(socket=socket) as again, Client(socket=socket, session_key="x" * 32) as other:
        assert again.get(asked.id).title == "Mine?"
        with pytest.raises(NotificationNotFound):
            other.get(asked.id)
    kept.chmod(0o644)
    with pytest.raises(SessionKeyUnusable, match="only you can read"):
        Client(socket=socket).get(asked.id)
    # Where a person connects, nobody looks for a key.
    with daemon.client() as person:
        assert person.get(asked.id).title == "Mine?"


def test_a_change_that_was_not_set_aside_has_an_error_of_its_own(daemon: Daemon) -> None:
    with daemon.client() as client, grpc.insecure_channel(
        f"unix:{daemon.socket}", [("grpc.default_authority", "localhost")]
    ) as channel:
        client.create_consumer("bell")
        request = DiscardSetAsideEventRequest(name="bell", sequence=7)
        with pytest.raises(grpc.RpcError) as raised:
            ConsumerServiceStub(channel).DiscardSetAsideEvent(request, timeout=LIMIT)
        assert isinstance(from_grpc(raised.value, daemon.socket), SetAsideEventNotFound)
