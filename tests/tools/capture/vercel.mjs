// What a program with Vercel's `ai` does: text, a stream, a tool and embeddings. Run by capture.py.

import { NodeTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-grpc";
import { embed, generateText, simulateReadableStream, stepCountIs, streamText, tool } from "ai";
import { MockEmbeddingModelV3, MockLanguageModelV3 } from "ai/test";
import { z } from "zod";

const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())] });
provider.register();
const experimental_telemetry = { isEnabled: true, functionId: "helper", metadata: { sessionId: "session-1", userId: "user-1" } };
const usage = {
  inputTokens: { total: 130_213, noCache: 5, cacheRead: 128_955, cacheWrite: 1_253 },
  outputTokens: { total: 300, text: 100, reasoning: 200 },
};
const finish = (reason) => ({ unified: reason, raw: reason });
const answers = [
  {
    content: [{ type: "tool-call", toolCallId: "call-1", toolName: "weather", input: '{"city":"Rome"}' }],
    finishReason: finish("tool-calls"),
    usage,
    warnings: [],
  },
  { content: [{ type: "text", text: "Fine." }], finishReason: finish("stop"), usage, warnings: [] },
];
let step = 0;
const model = new MockLanguageModelV3({
  provider: "anthropic.messages",
  modelId: "claude-sonnet-4-5",
  doGenerate: async () => answers[step++],
  doStream: async () => ({
    stream: simulateReadableStream({
      chunks: [
        { type: "text-start", id: "1" },
        { type: "text-delta", id: "1", delta: "Fine." },
        { type: "text-end", id: "1" },
        { type: "finish", finishReason: finish("stop"), usage },
      ],
    }),
  }),
});
const weather = tool({ inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `fine in ${city}` });
await generateText({ model, prompt: "How is the weather?", tools: { weather }, stopWhen: stepCountIs(3), experimental_telemetry });
await streamText({ model, prompt: "And now?", experimental_telemetry }).consumeStream();
const embedder = new MockEmbeddingModelV3({
  provider: "openai.embedding",
  modelId: "text-embedding-3-small",
  doEmbed: async () => ({ embeddings: [[0.1]], usage: { tokens: 12 }, warnings: [] }),
});
await embed({ model: embedder, value: "weather", experimental_telemetry });
await provider.shutdown();
