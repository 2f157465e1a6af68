// OpenTelemetry's own exporter for Node, as it is, told by the environment where to send to.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';
import { socketOf } from '../barista.js';
import { startDaemon } from './daemon.js';

const run = promisify(execFile);
const HERE = fileURLToPath(new URL('.', import.meta.url));
const definition = loader.loadSync('barista/trace/v1/trace_service.proto', {
  includeDirs: [join(HERE, '../../../proto')],
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
});
const { TraceService } = grpc.loadPackageDefinition(definition).barista.trace.v1;

for (const compression of ['none', 'gzip']) {
  test(`spans arrive with kind, model, tokens and cost (compression: ${compression})`, async (t) => {
    const socket = socketOf(await startDaemon(t));
    const env = {
      ...process.env,
      OTEL_EXPORTER_OTLP_ENDPOINT: `unix://${socket}`,
      OTEL_EXPORTER_OTLP_INSECURE: 'true',
      OTEL_EXPORTER_OTLP_COMPRESSION: compression,
      OTEL_SERVICE_NAME: 'stranger',
    };
    const { stderr } = await run(process.execPath, [join(HERE, 'emitter.js')], { env });
    assert.equal(stderr, '');

    const client = new TraceService(`unix:${socket}`, grpc.credentials.createInsecure());
    t.after(() => client.close());
    const { observations } = await promisify(client.ListObservations.bind(client))({});
    assert.equal(observations.length, 1);
    const [call] = observations;
    assert.equal(call.kind, 'OBSERVATION_KIND_GENERATION');
    assert.equal(call.labels.model_responded, 'claude-sonnet-4-5-20250929');
    assert.equal(call.labels.agent, 'stranger');
    const { input, cache_read, cache_write_5m } = call.tokens;
    assert.deepEqual([input, cache_read, cache_write_5m], [5, 128_955, 1_253]);
    assert.equal(call.cost.total_nanodollars, 43_400_250);
    assert.equal(call.cost_source, 'COST_SOURCE_COMPUTED');
  });
}
