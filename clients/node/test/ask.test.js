import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ask } from '../ask.js';
import { BaristaError, connect, socketOf } from '../barista.js';
import { watch } from '../watch.js';
import { barista as command, startDaemon } from './daemon.js';

const LIMIT = { timeout: 60_000 };

/** The next question that is asked, by a watcher that sees everything. */
async function nextQuestion(events) {
  const { value } = await events.next();
  assert.equal(value.kind, 'CHANGE_KIND_CREATED');
  return value.notification;
}

/** A connection and a watch that is on, both ended with the test. */
async function follow(t, dataDir) {
  const barista = connect(socketOf(dataDir));
  const stop = new AbortController();
  t.after(() => {
    stop.abort();
    barista.close();
  });
  let onStart;
  const started = new Promise((resolve) => {
    onStart = resolve;
  });
  const events = watch(barista, { signal: stop.signal, onStart });
  // Asking for the first event starts the stream.
  let first = events.next();
  await started;
  const next = () => {
    const event = first ?? events.next();
    first = undefined;
    return event;
  };
  return { barista, events: { next } };
}

test('an answer from the command line reaches a Node program', LIMIT, async (t) => {
  const dataDir = await startDaemon(t);
  const { barista, events } = await follow(t, dataDir);
  const answer = ask(barista, 'Deploy?', ['yes', 'no']);
  const question = await nextQuestion(events);
  assert.deepEqual(question.options.map((option) => option.name), ['yes', 'no']);
  await command(dataDir, 'respond', question.id, 'yes', '--as', 'ada');
  const { response } = await answer;
  assert.deepEqual([response.text, response.responder, response.surface], ['yes', 'ada', 'cli']);
});

test('a question outlives a restart of the daemon', LIMIT, async (t) => {
  const dataDir = await startDaemon(t);
  const { barista, events } = await follow(t, dataDir);
  const answer = ask(barista, 'Still there?', []);
  const question = await nextQuestion(events);
  await command(dataDir, 'daemon', 'restart');
  await command(dataDir, 'respond', question.id, 'I am');
  assert.equal((await answer).response.text, 'I am');
  const { value } = await events.next();
  assert.equal(value.kind, 'CHANGE_KIND_RESPONDED');
  assert.equal(Number(value.sequence), Number(question.sequence) + 1);
});

test('a refusal has its reason and its details', LIMIT, async (t) => {
  const dataDir = await startDaemon(t);
  const barista = connect(socketOf(dataDir));
  t.after(() => barista.close());
  const refused = (method, request) =>
    barista.call(method, request).then(
      () => assert.fail('it should have been refused'),
      (error) => error,
    );
  const missing = await refused('GetNotification', { id: 7 });
  assert.ok(missing instanceof BaristaError);
  assert.equal(missing.reason, 'NOTIFICATION_NOT_FOUND');
  assert.equal(missing.metadata.id, '7');
  const untitled = await refused('CreateNotification', { type: 'NOTIFICATION_TYPE_INFO' });
  assert.equal(untitled.reason, 'INVALID_FIELD');
  assert.match(untitled.message, /title/);
});

test('the programs work as the README shows them', LIMIT, async (t) => {
  const dataDir = await startDaemon(t);
  const { events } = await follow(t, dataDir);
  const program = fileURLToPath(new URL('../ask.js', import.meta.url));
  const environment = { ...process.env, BARISTA_DATA_DIR: dataDir };
  const asking = promisify(execFile)(process.execPath, [program, 'Merge?', 'now', 'later'], { env: environment });
  const question = await nextQuestion(events);
  await command(dataDir, 'respond', question.id, 'later');
  assert.equal((await asking).stdout, 'later\n');
});

test('over the agent socket a question belongs to the key that it was asked with', LIMIT, async (t) => {
  const dataDir = await startDaemon(t);
  const socket = `${dataDir}/run/agent/agent.sock`;
  const agent = (key) => {
    const barista = connect(socket, key);
    t.after(() => barista.close());
    return barista;
  };
  const request = { type: 'NOTIFICATION_TYPE_QUESTION', title: 'Mine?' };
  const { notification } = await agent('a'.repeat(32)).call('CreateNotification', request);
  const found = await agent('a'.repeat(32)).call('GetNotification', { id: notification.id });
  assert.equal(found.notification.title, 'Mine?');
  const get = (key) =>
    agent(key)
      .call('GetNotification', { id: notification.id })
      .catch((error) => error.reason);
  assert.equal(await get('b'.repeat(32)), 'NOTIFICATION_NOT_FOUND');
  assert.equal(await get(''), 'INVALID_FIELD');
});

test('a program without a daemon is told how to start one', LIMIT, async () => {
  assert.throws(() => socketOf('/nonexistent'), /barista daemon start/);
});
