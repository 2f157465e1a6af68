"""Programs that export telemetry with OpenTelemetry's own exporters, as they are, to the daemon's socket."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from daemon import LIMIT, ROOT, Daemon

from barista_client.pb.trace.v1 import trace_pb2, trace_service_pb2
from barista_client.pb.trace.v1.trace_service_pb2_grpc import TraceServiceStub
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import LogsServiceStub
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub as ExportStub

FIXTURES = ROOT / "tests/fixtures/otlp"
# The golden call: 130,213 input tokens, of which most were cached, on claude-sonnet-4-5.
GOLDEN = {"input": 5, "cache_read": 128_955, "cache_write_5m": 1_253}
GOLDEN_COST = 43_400_250
Observation = trace_pb2.Observation
Kind = trace_pb2.ObservationKind


def channel(daemon: Daemon, *options: tuple[str, object]) -> grpc.Channel:
    return grpc.insecure_channel(f"unix:{daemon.socket}", [("grpc.default_authority", "localhost"), *options])


def emit(daemon: Daemon, program: str, compression: str = "none") -> str:
    """Runs one of otlp_emitters.py; what it complains about."""
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("OTEL_")},
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"unix://{daemon.socket}",
        "OTEL_EXPORTER_OTLP_INSECURE": "true",
        **({} if compression == "none" else {"OTEL_EXPORTER_OTLP_COMPRESSION": compression}),
        "OTEL_SERVICE_NAME": "stranger",
    }
    source = Path(__file__).with_name("otlp_emitters.py")
    done = subprocess.run([sys.executable, source, program], env=environment, capture_output=True, text=True, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    return done.stderr


def observations(daemon: Daemon) -> dict[str, Observation]:
    """All observations with all that is known, by name."""
    with channel(daemon) as to:
        stub = TraceServiceStub(to)
        page = stub.ListObservations(trace_service_pb2.ListObservationsRequest(page_size=500), timeout=LIMIT)
        assert not page.next_page_token
        found = [
            stub.GetObservation(trace_service_pb2.GetObservationRequest(id=one.id), timeout=LIMIT).observation
            for one in page.observations
        ]
    return {one.labels.name: one for one in found}


def tokens(observation: Observation) -> dict[str, int]:
    return {field.name: value for field, value in observation.tokens.ListFields()}


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_spans_of_a_program_have_kind_model_tokens_and_cost(daemon: Daemon, compression: str) -> None:
    assert emit(daemon, "traces", compression) == ""
    found = observations(daemon)
    assert set(found) == {"deploy", "chat claude-sonnet-4-5"}
    call, root = found["chat claude-sonnet-4-5"], found["deploy"]
    assert call.kind == Kind.OBSERVATION_KIND_GENERATION
    assert call.labels.model_responded == "claude-sonnet-4-5-20250929"
    assert (call.labels.provider, call.labels.agent, call.labels.session) == ("anthropic", "stranger", "session-1")
    assert tokens(call) == GOLDEN
    assert call.cost.total_nanodollars == GOLDEN_COST
    assert call.cost_source == trace_pb2.CostSource.COST_SOURCE_COMPUTED
    assert call.price_table.startswith("genai-prices ") and call.price_rule.startswith("anthropic/claude-sonnet-4-5")
    assert call.counts and not root.counts
    assert root.kind == Kind.OBSERVATION_KIND_SPAN
    assert (call.trace_id, call.parent_id) == (root.trace_id, root.span_id)


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_logs_of_an_agent_say_what_a_call_cost(daemon: Daemon, compression: str) -> None:
    assert emit(daemon, "logs", compression) == ""
    found = observations(daemon)
    assert set(found) == {"claude_code.api_request"}, "an ordinary line is no observation"
    call = found["claude_code.api_request"]
    assert call.kind == Kind.OBSERVATION_KIND_GENERATION
    assert tokens(call) == {**GOLDEN, "output": 7}
    assert call.cost.total_nanodollars == 43_505_250
    assert call.cost_source == trace_pb2.CostSource.COST_SOURCE_PROVIDED
    assert call.request_id == "req_1"
    assert call.end_time.ToMicroseconds() - call.start_time.ToMicroseconds() == 1_500_000


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_metrics_are_taken_and_cost_nothing(daemon: Daemon, compression: str) -> None:
    assert emit(daemon, "metrics", compression) == ""
    assert observations(daemon) == {}


def test_pydantic_ai_is_counted_once(daemon: Daemon) -> None:
    assert emit(daemon, "pydantic_ai") == ""
    found = observations(daemon)
    assert set(found) == {"chat gpt-5", "execute_tool weather", "invoke_agent helper"}
    agent, tool, chat = (found[name] for name in ("invoke_agent helper", "execute_tool weather", "chat gpt-5"))
    assert (agent.kind, tool.kind) == (Kind.OBSERVATION_KIND_AGENT, Kind.OBSERVATION_KIND_TOOL)
    assert chat.kind == Kind.OBSERVATION_KIND_GENERATION
    assert chat.labels.model_responded == "gpt-5" and chat.labels.agent == "helper"
    assert chat.cost_source == trace_pb2.CostSource.COST_SOURCE_UNSPECIFIED, "a test model has no price"
    with channel(daemon) as to:
        trace = TraceServiceStub(to).GetTrace(trace_service_pb2.GetTraceRequest(id=agent.trace_id), timeout=LIMIT)
    sums = {field.name: value for field, value in trace.trace.tokens.ListFields()}
    chats = [one for one in trace.observations if one.kind == Kind.OBSERVATION_KIND_GENERATION]
    assert len(chats) == 2
    assert sums == {"input": sum(one.tokens.input for one in chats), "output": sum(one.tokens.output for one in chats)}


def test_langfuse_needs_nothing_but_another_exporter(daemon: Daemon) -> None:
    emit(daemon, "langfuse")
    found = observations(daemon)
    assert set(found) == {"deploy", "ask", "judge"}
    ask, judge = found["ask"], found["judge"]
    assert ask.kind == Kind.OBSERVATION_KIND_GENERATION and found["deploy"].kind == Kind.OBSERVATION_KIND_AGENT
    assert tokens(ask) == GOLDEN and ask.cost.total_nanodollars == GOLDEN_COST
    assert (ask.labels.session, ask.labels.user) == ("session-1", "user-1")
    assert (judge.level, judge.status_message) == (trace_pb2.Level.LEVEL_ERROR, "not good")
    assert (judge.cost.total_nanodollars, judge.cost_source) == (2_000_000, trace_pb2.CostSource.COST_SOURCE_PROVIDED)
    assert "a secret answer" not in str(ask), "content is not kept unless it is wanted"
    with channel(daemon) as to:
        trace = TraceServiceStub(to).GetTrace(trace_service_pb2.GetTraceRequest(id=ask.trace_id), timeout=LIMIT).trace
    assert (trace.name, trace.session, list(trace.tags)) == ("deployment", "session-1", ["a"])


def replay(daemon: Daemon, name: str) -> None:
    """Sends what a real SDK or agent has sent."""
    with channel(daemon) as to:
        for request in json.loads((FIXTURES / f"{name}.json").read_text()):
            if "resourceSpans" in request:
                answer = ExportStub(to).Export(ParseDict(request, ExportTraceServiceRequest()), timeout=LIMIT)
            else:
                answer = LogsServiceStub(to).Export(ParseDict(request, ExportLogsServiceRequest()), timeout=LIMIT)
            assert not answer.HasField("partial_success"), answer


def calls(daemon: Daemon) -> list[Observation]:
    counted = [one for one in observations(daemon).values() if one.counts and tokens(one)]
    return sorted(counted, key=lambda one: one.id)


@pytest.mark.parametrize(
    ("fixture", "cost"),
    [
        ("claude-code", 43_505_250),
        ("codex", 3_575_000),
        ("gemini-cli", 888_000),
        ("openinference-anthropic", 43_505_250),
        ("traceloop-anthropic", 43_505_250),
    ],
)
def test_one_call_is_one_row_however_often_it_is_reported(daemon: Daemon, fixture: str, cost: int) -> None:
    """Agents and SDKs report a call in logs, in spans, and twice where two libraries see it; and exporters repeat themselves."""
    replay(daemon, fixture)
    [call] = calls(daemon)
    assert call.cost.total_nanodollars == cost
    before = observations(daemon)
    replay(daemon, fixture)
    assert observations(daemon) == before


def test_what_breaks_a_rule_is_refused_alone(daemon: Daemon) -> None:
    request = json.loads((FIXTURES / "langfuse.json").read_text())[0]
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    spans[0].pop("startTimeUnixNano")
    spans[1]["spanId"] = "AAAA"
    with channel(daemon) as to:
        answer = ExportStub(to).Export(ParseDict(request, ExportTraceServiceRequest()), timeout=LIMIT)
    assert answer.partial_success.rejected_spans == 2
    assert "start_time" in answer.partial_success.error_message and "span_id" in answer.partial_success.error_message
    assert len(observations(daemon)) == len(spans) - 2


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
def test_what_is_too_large_is_refused_for_good(daemon: Daemon, compression: grpc.Compression) -> None:
    """RESOURCE_EXHAUSTED without RetryInfo: exporters that hear OUT_OF_RANGE try for ever."""
    request = ExportTraceServiceRequest()
    request.resource_spans.add().schema_url = "x" * (64 * 1024 * 1024 + 1)
    with channel(daemon, ("grpc.max_send_message_length", -1)) as to, pytest.raises(grpc.RpcError) as caught:
        ExportStub(to).Export(request, timeout=LIMIT, compression=compression)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    details = dict(caught.value.trailing_metadata())["grpc-status-details-bin"]
    assert b"MESSAGE_TOO_LARGE" in details and b"RetryInfo" not in details


def test_what_is_large_is_taken(daemon: Daemon, report: Callable[[str], None]) -> None:
    """More than other methods take, and in one request."""
    request = json.loads((FIXTURES / "langfuse.json").read_text())[0]
    spans = request["resourceSpans"][0]["scopeSpans"][0]["spans"]
    message = ParseDict(request, ExportTraceServiceRequest())
    scope = message.resource_spans[0].scope_spans[0]
    for number in range(2_000):
        span = scope.spans.add()
        span.CopyFrom(scope.spans[0])
        span.name, span.span_id = f"call {number}", (number + 1).to_bytes(8, "big")
        span.attributes.add(key="big").value.string_value = "x" * 4_000
    assert message.ByteSize() > 8 * 1024 * 1024
    with channel(daemon, ("grpc.max_send_message_length", -1)) as to:
        answer = ExportStub(to).Export(message, timeout=LIMIT)
        assert not answer.HasField("partial_success"), answer
        trace_id = scope.spans[0].trace_id.hex()
        found = TraceServiceStub(to).GetTrace(trace_service_pb2.GetTraceRequest(id=trace_id), timeout=LIMIT)
    assert found.trace.observation_count == len(spans) + 2_000
