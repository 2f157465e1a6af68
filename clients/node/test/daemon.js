// A real daemon in a directory of its own.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const BINARIES = process.env.BARISTA_BIN_DIR ?? fileURLToPath(new URL('../../../target/debug', import.meta.url));

/** Runs `barista` on a data directory; the output. */
export async function barista(dataDir, ...args) {
  const { stdout } = await run(join(BINARIES, 'barista'), ['--data-dir', dataDir, ...args]);
  return stdout.trim();
}

/** Starts a daemon for the length of a test; its data directory. It answers when this is done. */
export async function startDaemon(test) {
  const dataDir = mkdtempSync(join(tmpdir(), 'barista-node-'));
  test.after(async () => {
    await barista(dataDir, 'daemon', 'stop');
    rmSync(dataDir, { recursive: true });
  });
  await barista(dataDir, 'daemon', 'start');
  return dataDir;
}
