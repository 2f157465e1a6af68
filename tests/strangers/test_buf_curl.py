"""``buf curl``: a generic gRPC tool that knows the services only through reflection."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from daemon import LIMIT, ROOT, Daemon

BUF = Path(os.environ.get("BARISTA_BUF", ROOT / "tests/tools/node_modules/.bin/buf"))


def command(daemon: Daemon, method: str, request: object) -> list[str | Path]:
    url = f"http://localhost/barista.{method}"
    return [BUF, "curl", "--protocol", "grpc", "--unix-socket", daemon.socket, "--data", json.dumps(request), url]


def call(daemon: Daemon, method: str, request: object) -> Any:
    done = subprocess.run(command(daemon, method, request), check=True, capture_output=True, text=True, timeout=LIMIT)
    return json.loads(done.stdout)


def test_the_services_can_be_called_through_reflection(daemon: Daemon) -> None:
    info = call(daemon, "admin.v1.AdminService/GetServerInfo", {})["info"]
    assert info["pid"] == daemon.pid and info["dataDir"] == str(daemon.data_dir)
    draft = {"type": "NOTIFICATION_TYPE_INFO", "title": "From a shell", "tags": ["x"]}
    created = call(daemon, "notification.v1.NotificationService/CreateNotification", draft)["notification"]
    listed = call(daemon, "notification.v1.NotificationService/ListNotifications", {"pageSize": 5})
    assert listed["notifications"] == [created] and listed["cursor"]["sequence"] == "1"


def test_the_services_are_listed(daemon: Daemon) -> None:
    listing = [BUF, "curl", "--protocol", "grpc", "--unix-socket", daemon.socket, "--list-services", "http://localhost"]
    done = subprocess.run(listing, check=True, capture_output=True, text=True, timeout=LIMIT)
    services = set(done.stdout.split())
    assert {"barista.admin.v1.AdminService", "barista.notification.v1.NotificationService", "grpc.health.v1.Health"} <= services


def test_a_watch_streams(daemon: Daemon) -> None:
    with daemon.client() as client:
        client.notify("Before")
        watch = command(daemon, "notification.v1.NotificationService/WatchNotifications", {"startAt": "START_AT_OLDEST"})
        with subprocess.Popen(watch, stdout=subprocess.PIPE, text=True) as watching:
            assert watching.stdout is not None
            messages = read_objects(watching.stdout)
            assert "started" in next(messages)
            assert next(messages)["events"]["events"][0]["notification"]["title"] == "Before"
            client.notify("After")
            assert next(messages)["events"]["events"][0]["notification"]["title"] == "After"
            watching.terminate()


def read_objects(stream: Any) -> Any:
    """The JSON objects of a stream that are printed over several lines each."""
    text = ""
    for line in stream:
        text += line
        if line.rstrip() == "}":
            yield json.loads(text)
            text = ""


def test_a_refusal_is_the_code_of_the_error(daemon: Daemon) -> None:
    refused = subprocess.run(
        command(daemon, "notification.v1.NotificationService/GetNotification", {"id": 7}), capture_output=True, text=True, timeout=LIMIT
    )
    # The code of gRPC, NOT_FOUND here, three bits to the left.
    assert refused.returncode == 5 << 3
    error = json.loads(refused.stderr)
    assert error["code"] == "not_found" and any(detail["type"] == "google.rpc.ErrorInfo" for detail in error["details"])


def test_the_health_of_the_services_can_be_asked(daemon: Daemon) -> None:
    url = "http://localhost/grpc.health.v1.Health/Check"
    check = [BUF, "curl", "--protocol", "grpc", "--unix-socket", daemon.socket, "--data", "{}", url]
    done = subprocess.run(check, check=True, capture_output=True, text=True, timeout=LIMIT)
    assert json.loads(done.stdout) == {"status": "SERVING"}
