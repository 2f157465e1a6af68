// A program that reports a call of a model, as OpenTelemetry's conventions describe it. Run by otlp.test.js.

import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-grpc';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { defaultResource, detectResources, envDetector } from '@opentelemetry/resources';

const provider = new NodeTracerProvider({
  resource: defaultResource().merge(detectResources({ detectors: [envDetector] })),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
const span = provider.getTracer('test').startSpan('chat claude-sonnet-4-5', {
  attributes: {
    'gen_ai.operation.name': 'chat',
    'gen_ai.provider.name': 'anthropic',
    'gen_ai.response.model': 'claude-sonnet-4-5-20250929',
    'gen_ai.usage.input_tokens': 130_213,
    'gen_ai.usage.cache_read.input_tokens': 128_955,
    'gen_ai.usage.cache_creation.input_tokens': 1_253,
    'gen_ai.usage.output_tokens': 0,
  },
});
span.end();
await provider.shutdown();
