import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Logger } from '../base/log.ts';
import type { ServerTls } from '../base/server-tls.ts';
import type { SqlSession } from '../sql/sql-session.ts';
import { type Connection, serveConnection } from './connection.ts';
import type { RemoteSession } from './relay.ts';
import { type SessionLimits, sessionLimits } from './session.ts';
import type { Authentication, ScramKey, StartupRequest } from './startup.ts';

/** A running server; disposing it ends every session (57P01). */
export interface PgServer<Key extends ScramKey = ScramKey> extends AsyncDisposable {
  readonly port: number;
  /** Ends the sessions of keys for which this holds (57P01). */
  endSessions(of: (key: Key) => boolean): void;
}

interface PgServerLimits extends SessionLimits {
  /** Sessions at a time; one more is refused (53300). */
  readonly connectionsMax: number;
  /** Connections that have not authenticated yet; one more is closed. */
  readonly startupsMax: number;
  /** Time to authenticate; then the connection is closed (57014). There is no limit for idle sessions. */
  readonly startupMsMax: number;
  /** A longer message ends its connection (54000). */
  readonly messageBytesMax: number;
  /** What is read ahead while a statement runs; then the socket waits. */
  readonly readAheadBytesMax: number;
  /** Time for sessions to end when the server closes; then they are cut off. */
  readonly closeMsMax: number;
}

export const pgServerLimits: PgServerLimits = {
  ...sessionLimits,
  connectionsMax: 100,
  startupsMax: 100,
  startupMsMax: 30_000,
  messageBytesMax: 4 * 1024 * 1024,
  readAheadBytesMax: 64 * 1024,
  closeMsMax: 5000,
};

/** Who has connected, and the key that was proved; undefined where everyone is trusted. */
export interface SessionRequest<Key> extends StartupRequest {
  readonly key: Key | undefined;
  /** What the client may cancel it with. */
  readonly processId: number;
  readonly secret: Buffer;
}

export interface PgServerOptions<Key extends ScramKey> {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  readonly authenticate: Authentication<Key>;
  /** What TLS clients are shown, asked for at each connection; without it encryption is declined. */
  readonly tls?: (() => ServerTls) | undefined;
  /** Whether a client from this address is refused without TLS (28000). */
  readonly requiresTls?: (address: string) => boolean;
  /**
   * Opens the session of an authenticated client, here or in another process. An SqlError (3D000: no such database)
   * refuses it.
   */
  openSession(request: SessionRequest<Key>): Promise<SqlSession | RemoteSession>;
  readonly limits?: Partial<PgServerLimits>;
  readonly logger: Logger;
}

/** What the connections of a server share. */
export interface ServerContext<Key extends ScramKey> {
  readonly options: PgServerOptions<Key>;
  readonly limits: PgServerLimits;
  readonly serverSecret: Buffer;
  /** Connections with a session, by process id. */
  readonly sessions: Map<number, Registered>;
  /** Reserves a process id; undefined when there are `connectionsMax`. */
  register(cancel: () => void): Registered | undefined;
  /** Cancels what the session with this process id and secret runs; anything else is ignored. */
  cancel(processId: number, secret: Buffer): void;
}

/** The key by which another connection can cancel what this one runs. */
export interface Registered {
  readonly processId: number;
  readonly secret: Buffer;
  cancel(): void;
}

const secretBytes = 4;

/** Serves the PostgreSQL protocol, version 3.0; resolves when it listens. */
export async function startPgServer<Key extends ScramKey>(
  options: PgServerOptions<Key>,
): Promise<PgServer<Key>> {
  const limits = { ...pgServerLimits, ...options.limits };
  const context = createContext(options, limits);
  const connections = new Set<Connection<Key>>();
  const server = createServer({ noDelay: true, keepAlive: true }, (socket: Socket) => {
    const connection = serveConnection(socket, context);
    connections.add(connection);
    void connection.ended.then(() => connections.delete(connection));
  });
  // Beyond sessions and start-ups a connection isn't read at all.
  server.maxConnections = limits.connectionsMax + limits.startupsMax;
  server.listen({ host: options.host, port: options.port });
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    endSessions: (of) => {
      for (const connection of connections) {
        const key = connection.key();
        if (key !== undefined && of(key)) connection.terminate();
      }
    },
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      const open = [...connections];
      for (const connection of open) connection.terminate();
      const timer = setTimeout(() => {
        for (const connection of open) connection.destroy();
      }, limits.closeMsMax);
      await Promise.all([closed, ...open.map(({ ended }) => ended)]);
      clearTimeout(timer);
    },
  };
}

function createContext<Key extends ScramKey>(
  options: PgServerOptions<Key>,
  limits: PgServerLimits,
): ServerContext<Key> {
  const sessions = new Map<number, Registered>();
  let lastProcessId = 0;
  return {
    options,
    limits,
    serverSecret: randomBytes(32),
    sessions,
    register: (cancel) => {
      if (sessions.size >= limits.connectionsMax) return undefined;
      do {
        lastProcessId = (lastProcessId % 0x7fffffff) + 1;
      } while (sessions.has(lastProcessId));
      const registered = { processId: lastProcessId, secret: randomBytes(secretBytes), cancel };
      sessions.set(registered.processId, registered);
      return registered;
    },
    cancel: (processId, secret) => {
      const found = sessions.get(processId);
      if (found && secret.length === secretBytes && timingSafeEqual(found.secret, secret)) found.cancel();
    },
  };
}
