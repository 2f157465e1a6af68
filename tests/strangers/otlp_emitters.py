"""Programs that report what they do, as anybody would write them: run by test_otlp.py in processes of their own.

Where they report to, and how, they know from the environment alone.
"""

from __future__ import annotations

import sys


def traces() -> None:
    """A call of a model, as OpenTelemetry's conventions describe it."""
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("deploy"):
        with tracer.start_as_current_span("chat claude-sonnet-4-5") as span:
            span.set_attributes(
                {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.provider.name": "anthropic",
                    "gen_ai.request.model": "claude-sonnet-4-5",
                    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
                    "gen_ai.conversation.id": "session-1",
                    "gen_ai.usage.input_tokens": 130_213,
                    "gen_ai.usage.cache_read.input_tokens": 128_955,
                    "gen_ai.usage.cache_creation.input_tokens": 1_253,
                    "gen_ai.usage.output_tokens": 0,
                }
            )
    provider.shutdown()


def logs() -> None:
    """A log of Claude Code, with numbers as texts."""
    from opentelemetry._logs import LogRecord
    from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
    from opentelemetry.sdk._logs import LoggerProvider
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor

    provider = LoggerProvider()
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    logger = provider.get_logger("com.anthropic.claude_code.events")
    attributes = {
        "event.name": "api_request",
        "session.id": "session-2",
        "model": "claude-sonnet-4-5-20250929",
        "input_tokens": "5",
        "output_tokens": "7",
        "cache_read_tokens": "128955",
        "cache_creation_tokens": "1253",
        "cost_usd": "0.04350525",
        "duration_ms": "1500",
        "request_id": "req_1",
    }
    logger.emit(LogRecord(body="claude_code.api_request", attributes=attributes))
    logger.emit(LogRecord(body="an ordinary line"))
    provider.shutdown()


def metrics() -> None:
    """A counter of tokens, which must not become a cost."""
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    provider = MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    provider.get_meter("test").create_counter("claude_code.token.usage").add(1_000, {"type": "input"})
    assert provider.force_flush()
    provider.shutdown()


def pydantic_ai() -> None:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from pydantic_ai import Agent
    from pydantic_ai.models.instrumented import InstrumentationSettings
    from pydantic_ai.models.test import TestModel

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))
    agent = Agent(TestModel(model_name="gpt-5"), name="helper")

    @agent.tool_plain
    def weather(city: str) -> str:
        """Says how the weather is."""
        return f"fine in {city}"

    agent.run_sync("How is the weather?")
    provider.shutdown()


def langfuse() -> None:
    from langfuse import Langfuse, propagate_attributes
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

    client = Langfuse(public_key="pk-none", secret_key="none", base_url="http://127.0.0.1:9", span_exporter=OTLPSpanExporter())
    with propagate_attributes(user_id="user-1", session_id="session-1", tags=["a"], trace_name="deployment"):
        with client.start_as_current_observation(name="deploy", as_type="agent"):
            with client.start_as_current_observation(name="ask", as_type="generation", model="claude-sonnet-4-5") as call:
                call.update(
                    usage_details={"input": 5, "cache_read_input_tokens": 128_955, "cache_creation_input_tokens": 1_253, "output": 0},
                    output="a secret answer",
                )
            with client.start_as_current_observation(name="judge", as_type="generation") as judge:
                judge.update(level="ERROR", status_message="not good", cost_details={"total": 0.002})
    client.flush()


if __name__ == "__main__":
    globals()[sys.argv[1]]()
