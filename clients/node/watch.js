#!/usr/bin/env node
// Prints each change of a notification, whoever makes it, as one line of JSON: node watch.js
//
// Goes on across restarts of the daemon, without a gap or a duplicate, until it is interrupted.

import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BaristaError, connect, isPassing, socketOf } from './barista.js';

/**
 * Follows changes from now on, or after a cursor.
 * @param {import('./barista.js').Barista} barista
 * @param {{after?: object, signal?: AbortSignal, onStart?: () => void}} [how] `onStart` is called each time that the stream is on
 * @returns {AsyncGenerator<any>} the events
 */
export async function* watch(barista, { after, signal, onStart } = {}) {
  let cursor = after;
  let wait = 20;
  while (!signal?.aborted) {
    const stream = barista.watch(cursor ? { after: cursor } : { start_at: 'START_AT_NOW' });
    const abort = () => stream.cancel();
    signal?.addEventListener('abort', abort);
    try {
      for await (const reply of stream) {
        if (reply.message === 'started') {
          cursor = reply.started.cursor;
          onStart?.();
        } else if (reply.message === 'progress') {
          cursor = reply.progress.cursor;
        } else if (reply.message === 'events') {
          for (const event of reply.events.events) {
            cursor = { ...cursor, sequence: event.sequence };
            yield event;
          }
        }
        wait = 20;
      }
    } catch (failure) {
      if (signal?.aborted) return;
      const error = new BaristaError(failure);
      if (!isPassing(error)) throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
      stream.cancel();
    }
    await pause(wait);
    wait = Math.min(wait * 2, 2000);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const barista = connect(socketOf());
  const stop = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM']) process.once(name, () => stop.abort());
  try {
    for await (const event of watch(barista, { signal: stop.signal, onStart: () => console.error('watching') })) {
      console.log(JSON.stringify(event));
    }
  } catch (error) {
    console.error(`cannot watch: ${error.message}`);
    process.exitCode = 1;
  } finally {
    barista.close();
  }
}
