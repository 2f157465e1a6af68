#!/usr/bin/env node
// Asks a question, waits for the answer, and prints it: node ask.js "Deploy?" yes no
//
// Exit code 0: answered; 1: it ended without an answer, or the daemon could not be asked.

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect, isOpen, isPassing, socketOf } from './barista.js';

/** How long the daemon may be away, in milliseconds. */
const ABSENCE_LIMIT_MS = 30_000;

/**
 * Repeats what is safe to repeat while the daemon is away.
 * @template T
 * @param {() => Promise<T>} attempt
 * @returns {Promise<T>}
 */
async function persist(attempt) {
  const end = Date.now() + ABSENCE_LIMIT_MS;
  for (let wait = 20; ; wait = Math.min(wait * 2, 2000)) {
    try {
      return await attempt();
    } catch (error) {
      if (!isPassing(error) || Date.now() >= end) throw error;
    }
    await pause(wait);
  }
}

/**
 * Asks, and waits for as long as it takes.
 * @param {import('./barista.js').Barista} barista
 * @param {string} title
 * @param {string[]} options any text answers where there are none
 * @returns {Promise<any>} the notification in its end state
 */
export async function ask(barista, title, options) {
  const request = {
    // With it, a call that broke off can be repeated and still asks only once.
    request_id: randomUUID(),
    type: 'NOTIFICATION_TYPE_QUESTION',
    title,
    options: options.map((name) => ({ name })),
    agent: process.env.BARISTA_AGENT ?? '',
    surface: 'node',
  };
  let { notification } = await persist(() => barista.call('CreateNotification', request));
  while (isOpen(notification)) {
    // Each call waits for 50 s at most, and the next one goes on: the question is in the daemon's database.
    ({ notification } = await persist(() =>
      barista.call('WaitNotification', { id: notification.id, timeout: { seconds: 50 } }, 55_000),
    ));
  }
  return notification;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [title, ...options] = process.argv.slice(2);
  const barista = connect(socketOf());
  try {
    const { response, state } = await ask(barista, title ?? '', options);
    if (response) console.log(response.text);
    else console.error(`no answer: ${state.replace('NOTIFICATION_STATE_', '').toLowerCase()}`);
    process.exitCode = response ? 0 : 1;
  } catch (error) {
    console.error(`cannot ask: ${error.message}`);
    process.exitCode = 1;
  } finally {
    barista.close();
  }
}
