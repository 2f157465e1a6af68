#!/usr/bin/env python3
"""Writes tests/fixtures/otlp/*.json: what real SDKs send, so that the tests of the conventions need no SDK.

Each emitter runs as it would in a program of its own, with the gRPC exporter that it or OpenTelemetry brings, against a server that keeps
the requests. Where an SDK wants a provider, one on the loopback interface answers, always with the same usage. To take newer versions:

    python3 -m venv /tmp/capture && /tmp/capture/bin/pip install -r tests/tools/capture/requirements.txt
    (cd tests/tools/capture && npm install --ignore-scripts)
    /tmp/capture/bin/python tests/tools/capture/capture.py [NAME…]

A fixture is the list of requests in the JSON of Protocol Buffers. Times and ids stay as they were, so a new capture changes them all.
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FIXTURES = HERE.parents[1] / "fixtures/otlp"
# The longest text of a fixture. Agents send their whole instructions.
MAX_TEXT = 2_000
# The golden call: 130,213 input tokens, most of them cached.
ANTHROPIC = {
    "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Yes."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "input_tokens": 5,
        "cache_read_input_tokens": 128_955,
        "cache_creation_input_tokens": 1_253,
        "output_tokens": 7,
    },
}
OPENAI = {
    "id": "chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT",
    "object": "chat.completion",
    "created": 1_780_000_000,
    "model": "gpt-5-2025-08-07",
    "service_tier": "default",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Yes."}}],
    "usage": {
        "prompt_tokens": 1_000,
        "completion_tokens": 300,
        "total_tokens": 1_300,
        "prompt_tokens_details": {"cached_tokens": 600},
        "completion_tokens_details": {"reasoning_tokens": 200},
    },
}


GEMINI = {
    "responseId": "x7wqaZ2iMYqWz7IPq4-VoQ4",
    "modelVersion": "gemini-2.5-flash",
    "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "Yes."}]}}],
    "usageMetadata": {
        "promptTokenCount": 1_000,
        "cachedContentTokenCount": 600,
        "candidatesTokenCount": 100,
        "thoughtsTokenCount": 200,
        "totalTokenCount": 1_300,
    },
}
RESPONSE = {
    "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
    "object": "response",
    "status": "completed",
    "model": "gpt-5",
    "output": [],
    "usage": {
        "input_tokens": 1_000,
        "input_tokens_details": {"cached_tokens": 600},
        "output_tokens": 300,
        "output_tokens_details": {"reasoning_tokens": 200},
        "total_tokens": 1_300,
    },
}


def answer_of(path: str) -> dict[str, Any]:
    """What a provider answers at once."""
    if "count_tokens" in path:
        return {"input_tokens": 5}
    if "countTokens" in path:
        return {"totalTokens": 5}
    if "generateContent" in path:
        return GEMINI
    return ANTHROPIC if "messages" in path else OPENAI


def stream_of(path: str) -> list[tuple[str, dict[str, Any]]] | None:
    """What a provider answers piece by piece: names and data of events."""
    if "messages" in path:
        start = {**ANTHROPIC, "content": [], "stop_reason": None, "usage": {**ANTHROPIC["usage"], "output_tokens": 1}}
        events = [
            {"type": "message_start", "message": start},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Yes."}},
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": ANTHROPIC["usage"]},
            {"type": "message_stop"},
        ]
        return [(event["type"], event) for event in events]
    if "responses" in path:
        item = {
            "id": "msg_01",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Yes.", "annotations": []}],
        }
        events = [
            {"type": "response.created", "response": {**RESPONSE, "status": "in_progress", "usage": None}},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": {**RESPONSE, "output": [item]}},
        ]
        return [(event["type"], event) for event in events]
    return [("", GEMINI)] if "streamGenerateContent" in path else None


class Provider(BaseHTTPRequestHandler):
    """Providers, as far as one question needs them."""

    def do_GET(self) -> None:  # noqa: N802 - named by the library
        self.send_error(404)

    def do_POST(self) -> None:  # noqa: N802 - named by the library
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if os.environ.get("CAPTURE_DEBUG"):
            print(self.path, asked.get("stream"), asked.get("model"), file=sys.stderr)
        events = stream_of(self.path) if asked.get("stream") or "stream" in self.path else None
        if events is None:
            kind = "application/json"
            answer = json.dumps(answer_of(self.path)).encode()
        else:
            kind = "text/event-stream"
            answer = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" if name else f"data: {json.dumps(data)}\n\n" for name, data in events).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("request-id", "req_011CSHoEeqs5C35K2UUqR7Fy")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


def with_provider(work: Callable[[str], None]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    work(f"http://127.0.0.1:{server.server_address[1]}")
    server.shutdown()


def provider() -> Any:
    """OpenTelemetry's own set-up, as the environment says."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    found = TracerProvider()
    found.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(found)
    return found


def ask_anthropic(url: str) -> None:
    import anthropic

    client = anthropic.Anthropic(base_url=url, api_key="none")
    client.messages.create(model="claude-sonnet-4-5", max_tokens=9, messages=[{"role": "user", "content": "Deploy?"}])


def ask_openai(url: str) -> None:
    import openai

    client = openai.OpenAI(base_url=url + "/v1", api_key="none")
    client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "Deploy?"}])


def traceloop_anthropic() -> None:
    from opentelemetry.instrumentation.anthropic import AnthropicInstrumentor

    traces = provider()
    AnthropicInstrumentor().instrument(tracer_provider=traces)
    with_provider(ask_anthropic)
    traces.shutdown()


def traceloop_openai() -> None:
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    traces = provider()
    OpenAIInstrumentor().instrument(tracer_provider=traces)
    with_provider(ask_openai)
    traces.shutdown()


def openinference_anthropic() -> None:
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.anthropic import AnthropicInstrumentor

    traces = provider()
    AnthropicInstrumentor().instrument(tracer_provider=traces)
    with using_attributes(session_id="session-1", user_id="user-1", tags=["a", "b"]):
        with_provider(ask_anthropic)
    traces.shutdown()


def openinference_openai() -> None:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    traces = provider()
    OpenAIInstrumentor().instrument(tracer_provider=traces)
    with_provider(ask_openai)
    traces.shutdown()


def pydantic_ai() -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.test import TestModel

    traces = provider()
    Agent.instrument_all(InstrumentationSettings(tracer_provider=traces))
    agent = Agent(TestModel(), name="helper")

    @agent.tool_plain
    def weather(city: str) -> str:
        """Says how the weather is."""
        return f"fine in {city}"

    agent.run_sync("How is the weather?")
    traces.shutdown()


def langfuse() -> None:
    from langfuse import Langfuse, propagate_attributes
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    client = Langfuse(
        public_key="pk-none",
        secret_key="none",
        base_url="http://127.0.0.1:9",
        span_exporter=OTLPSpanExporter(),
        environment="test",
        release="1.2.3",
    )
    with (
        client.start_as_current_observation(name="deploy", as_type="agent") as root,
        propagate_attributes(user_id="user-1", session_id="session-1", tags=["a", "b"], trace_name="deployment"),
    ):
        with client.start_as_current_observation(name="ask", as_type="generation", model="claude-sonnet-4-5") as call:
            call.update(
                input=[{"role": "user", "content": "Deploy?"}],
                output="Yes.",
                usage_details={
                    "input": 5,
                    "cache_read_input_tokens": 128_955,
                    "cache_creation_input_tokens": 1_253,
                    "output": 7,
                    "total": 130_220,
                },
                cost_details={"input": 0.0434, "output": 0.000105},
            )
        with client.start_as_current_observation(name="look", as_type="tool") as tool:
            tool.update(level="WARNING", status_message="slow")
        client.create_event(name="note")
        root.update(output="done")
    client.flush()


def failure() -> None:
    traces = provider()
    tracer = traces.get_tracer("app")
    try:
        with tracer.start_as_current_span("work", attributes={"step": 3}) as span:
            span.add_event("checkpoint", {"rows": 10})
            raise ValueError("no such table")
    except ValueError:
        pass
    traces.shutdown()


def vercel_ai() -> None:
    subprocess.run(["node", "vercel.mjs"], cwd=HERE, check=True)


def command_line(name: str, arguments: list[str], settings: dict[str, str], files: dict[str, str]) -> None:
    """Asks an agent's command line one question, in a home directory of its own with `files`."""

    def run(url: str) -> None:
        with tempfile.TemporaryDirectory() as home:
            for path, text in files.items():
                target = Path(home, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text.replace("URL", url).replace("OTLP", os.environ["CAPTURE_TCP"]))
            environment = {"PATH": os.environ["PATH"], "HOME": home, "TERM": "dumb"}
            exporter = {key: value for key, value in os.environ.items() if key.startswith("OTEL_EXPORTER")}
            given = {key: value.replace("URL", url).replace("HOME", home) for key, value in settings.items()}
            program = HERE / "node_modules/.bin" / name
            whole = environment | exporter | given
            ended = subprocess.run([program, *arguments], cwd=home, env=whole, timeout=50, stdin=subprocess.DEVNULL, check=False)
            print(f"{name} ended with {ended.returncode}", file=sys.stderr)

    with_provider(run)


def claude_code() -> None:
    exporters = {f"OTEL_{kind}_EXPORTER": "otlp" for kind in ("TRACES", "LOGS", "METRICS")}
    settings = {
        "ANTHROPIC_BASE_URL": "URL",
        "ANTHROPIC_API_KEY": "none",
        "ANTHROPIC_MODEL": "claude-sonnet-4-5",
        "CLAUDE_CODE_ENABLE_TELEMETRY": "1",
        "CLAUDE_CODE_ENHANCED_TELEMETRY_BETA": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        **exporters,
    }
    command_line("claude", ["-p", "Deploy?"], settings, {})


def gemini_cli() -> None:
    settings = {
        "GEMINI_API_KEY": "none",
        "GOOGLE_GEMINI_BASE_URL": "URL",
        "GEMINI_TELEMETRY_ENABLED": "true",
        "GEMINI_TELEMETRY_TARGET": "local",
        "GEMINI_TELEMETRY_OTLP_ENDPOINT": os.environ["CAPTURE_TCP"],
        "GEMINI_TELEMETRY_OTLP_PROTOCOL": "grpc",
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
    }
    files = {".gemini/settings.json": '{"security": {"auth": {"selectedType": "gemini-api-key"}}}'}
    command_line("gemini", ["-m", "gemini-2.5-flash", "-p", "Deploy?"], settings, files)


def codex() -> None:
    config = """
model = "gpt-5"
model_provider = "loopback"
[model_providers.loopback]
name = "loopback"
base_url = "URL/v1"
wire_api = "responses"
[otel]
exporter = { otlp-grpc = { endpoint = "OTLP" } }
trace_exporter = { otlp-grpc = { endpoint = "OTLP" } }
"""
    settings = {"CODEX_HOME": "HOME/.codex"}
    command_line("codex", ["exec", "--skip-git-repo-check", "Deploy?"], settings, {".codex/config.toml": config})


EMITTERS = {
    "claude-code": claude_code,
    "codex": codex,
    "gemini-cli": gemini_cli,
    "failure": failure,
    "langfuse": langfuse,
    "openinference-anthropic": openinference_anthropic,
    "openinference-openai": openinference_openai,
    "pydantic-ai": pydantic_ai,
    "traceloop-anthropic": traceloop_anthropic,
    "traceloop-openai": traceloop_openai,
    "vercel-ai": vercel_ai,
}


def trimmed(message: Any) -> Any:
    """A request without what no test looks at: long texts, paths of this machine, and the spans in which Codex shows its own inner works."""
    if isinstance(message, dict):
        if "spans" in message and message.get("scope", {}).get("name", "").startswith("codex"):
            has_usage = lambda span: any("usage" in pair["key"] for pair in span.get("attributes", []))  # noqa: E731
            message = {**message, "spans": [span for span in message["spans"] if has_usage(span)]}
        return {key: trimmed(value) for key, value in message.items()}
    if isinstance(message, list):
        return [trimmed(item) for item in message]
    if isinstance(message, str):
        return message.replace(str(HERE.parents[2]), "/checkout").replace(sys.prefix, "/python")[:MAX_TEXT]
    return message


def capture(name: str) -> None:
    """Runs the emitter `name` in a process of its own, and writes what it sends."""
    import grpc
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as traces
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    kept: list[dict[str, Any]] = []

    class Traces(traces.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            kept.append(trimmed(MessageToDict(request)))
            return ExportTraceServiceResponse()

    class Metrics(metrics.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            return ExportMetricsServiceResponse()

    class Logs(logs.LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802
            kept.append(trimmed(MessageToDict(request)))
            return ExportLogsServiceResponse()

    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
    metrics.add_MetricsServiceServicer_to_server(Metrics(), server)
    traces.add_TraceServiceServicer_to_server(Traces(), server)
    logs.add_LogsServiceServicer_to_server(Logs(), server)
    with tempfile.TemporaryDirectory() as directory:
        address = f"unix://{directory}/otlp.sock"
        server.add_insecure_port(address)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        environment = os.environ | {
            "OTEL_EXPORTER_OTLP_ENDPOINT": address,
            "OTEL_EXPORTER_OTLP_INSECURE": "true",
            "OTEL_SERVICE_NAME": "captured",
            # For those that know no Unix sockets.
            "CAPTURE_TCP": f"http://127.0.0.1:{port}",
        }
        subprocess.run([sys.executable, __file__, "--emit", name], env=environment, check=True, timeout=60)
        server.stop(1).wait()
    FIXTURES.mkdir(parents=True, exist_ok=True)
    (FIXTURES / f"{name}.json").write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
    print(f"{name}: {len(kept)} requests")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--emit"]:
        EMITTERS[sys.argv[2]]()
    else:
        for wanted in sys.argv[1:] or EMITTERS:
            capture(wanted)
