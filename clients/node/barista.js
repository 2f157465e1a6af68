// Calls a Barista daemon with gRPC's own packages. The messages come straight from proto/; nothing is generated or compiled.

import { readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import loader from '@grpc/proto-loader';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const FILES = ['barista/notification/v1/notification_service.proto', 'rpc_status.proto'];
/** The metadata with the secret that an agent in a sandbox is known by. */
const KEY_HEADER = 'barista-session-key';

const definition = loader.loadSync(FILES, {
  includeDirs: [join(HERE, '../../proto'), HERE],
  // 64-bit numbers do not fit a JavaScript number; as text they lose nothing.
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
});

/**
 * An error that the daemon sent.
 */
export class BaristaError extends Error {
  /**
   * @param {import('@grpc/grpc-js').ServiceError} cause what gRPC reported
   */
  constructor(cause) {
    super(cause.details || cause.message, { cause });
    this.name = 'BaristaError';
    /** The gRPC code. */
    this.code = cause.code;
    const info = errorInfo(cause);
    /** A name of `barista.error.v1.ErrorReason` without its prefix; empty where the daemon was not reached. @type {string} */
    this.reason = info?.reason ?? '';
    /** Details, as documented for each reason. @type {Record<string, string>} */
    this.metadata = info?.metadata ?? {};
  }
}

/**
 * Finds the `google.rpc.ErrorInfo` of an error.
 * @param {import('@grpc/grpc-js').ServiceError} error
 * @returns {{reason: string, domain: string, metadata: Record<string, string>} | undefined}
 */
function errorInfo(error) {
  const [bytes] = error.metadata?.get('grpc-status-details-bin') ?? [];
  if (!bytes) return undefined;
  const status = definition['google.rpc.Status'].deserialize(bytes);
  const any = status.details.find((detail) => String(detail.type_url ?? detail['@type']).endsWith('/google.rpc.ErrorInfo'));
  // The loader unpacks an Any whose type it knows.
  const info = any && (any.value === undefined ? any : definition['google.rpc.ErrorInfo'].deserialize(any.value));
  return info?.domain === 'barista' ? info : undefined;
}

/**
 * The socket of the daemon that runs on a data directory: it publishes the path there.
 * @param {string} [dataDir] by default BARISTA_DATA_DIR, else `data`
 * @returns {string}
 */
export function socketOf(dataDir = process.env.BARISTA_DATA_DIR || 'data') {
  const published = join(resolve(dataDir), 'run/socket.path');
  let socket;
  try {
    socket = readFileSync(published, 'utf8');
    const owner = statSync(socket).uid;
    if (owner !== process.geteuid() && owner !== 0) {
      throw new Error(`${socket} is not to be trusted: it belongs to user id ${owner}`);
    }
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    throw new Error(`no daemon runs on ${resolve(dataDir)}; start one with \`barista daemon start\``, { cause: error });
  }
  return socket;
}

/**
 * @typedef {object} Barista
 * @property {(method: string, request: object, limitMs?: number) => Promise<any>} call makes a unary call
 * @property {(request: object) => import('@grpc/grpc-js').ClientReadableStream<any>} watch opens a stream of changes
 * @property {() => void} close ends the connection
 */

/**
 * Connects to the daemon behind a socket.
 *
 * Over the agent socket each call needs a secret of 32 to 128 random letters and digits, and a notification belongs to whoever knows the one
 * that it was created with. So it must outlive the program: `barista` keeps its own in `~/.local/state/barista/session.key`. The other
 * socket ignores it.
 * @param {string} socket
 * @param {string} [sessionKey] by default BARISTA_SESSION_KEY
 * @returns {Barista}
 */
export function connect(socket, sessionKey = process.env.BARISTA_SESSION_KEY) {
  const metadata = new grpc.Metadata();
  if (sessionKey) metadata.set(KEY_HEADER, sessionKey);
  const Service = grpc.loadPackageDefinition(definition).barista.notification.v1.NotificationService;
  const client = new Service(`unix:${socket}`, grpc.credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': 20,
    'grpc.max_reconnect_backoff_ms': 2000,
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
  });
  return {
    call: (method, request, limitMs = 35_000) =>
      new Promise((done, failed) => {
        client[method](request, metadata, { deadline: Date.now() + limitMs }, (error, reply) =>
          error ? failed(new BaristaError(error)) : done(reply),
        );
      }),
    watch: (request) => client.WatchNotifications(request, metadata),
    close: () => client.close(),
  };
}

/**
 * Whether a notification can still be answered.
 * @param {{state: string}} notification
 * @returns {boolean}
 */
export function isOpen(notification) {
  const ends = ['RESPONDED', 'DISMISSED', 'CANCELLED', 'EXPIRED'];
  return !ends.includes(notification.state.replace('NOTIFICATION_STATE_', ''));
}

/**
 * Whether a daemon that went away, or is about to, explains the error: then the same call helps later.
 * @param {unknown} error
 * @returns {boolean}
 */
export function isPassing(error) {
  return error instanceof BaristaError && error.code === grpc.status.UNAVAILABLE;
}

