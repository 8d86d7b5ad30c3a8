import type { Socket } from 'node:net';
import type { Logger } from '../base/log.ts';
import { type ByteWriter, createByteWriter } from '../sql/cells/byte-writer.ts';
import { SqlError } from '../sql/errors.ts';
import type { SqlSession } from '../sql/sql-session.ts';
import { decodeStartup, type Frame, type StartupMessage } from './codec.ts';
import { openTransport, type Transport } from './encryption.ts';
import { createInbox, type Inbox, sessionInput } from './inbox.ts';
import { writeAuthentication, writeBackendKeyData, writeError } from './messages.ts';
import { ClientGone, createOutput } from './output.ts';
import { type RemoteSession, relaySession } from './relay.ts';
import type { Registered, ServerContext } from './server.ts';
import { createPgSession, type PgSession, type SessionOutput } from './session.ts';
import { authenticate, negotiate, type ScramKey } from './startup.ts';

/** One socket from its first byte to its last. */
export interface Connection<Key> {
  /** What the client has proved to have; undefined before, and where everyone is trusted. */
  key(): Key | undefined;
  /** Resolves when the socket is closed and its session disposed; never rejects. */
  readonly ended: Promise<void>;
  /** Tells the client that the server closes (57P01), aborts what runs, and ends the connection. */
  terminate(): void;
  destroy(): void;
}

/** What the steps of a connection share. */
interface Wire extends SessionOutput, Transport {
  readonly inbox: Inbox;
  readonly logger: Logger;
  /** Set while a statement may run. */
  session: PgSession | undefined;
}

interface Proved<Key> {
  key: Key | undefined;
}

export function serveConnection<Key extends ScramKey>(
  socket: Socket,
  context: ServerContext<Key>,
): Connection<Key> {
  const logger = context.options.logger.with({ client: `${socket.remoteAddress}:${socket.remotePort}` });
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  let wire: Wire | undefined;
  const proved: Proved<Key> = { key: undefined };
  socket.on('error', (error) => logger.debug('the connection broke', { error }));
  socket.on('close', () => {
    wire?.session?.cancel();
    resolve();
  });
  const open = async (): Promise<void> => {
    const transport = await settleEncryption(socket, context);
    if (!transport) return;
    wire = createWire(transport, context, logger);
    await serve(wire, context, proved);
  };
  const served = open().catch((error) => {
    if (!(error instanceof ClientGone)) logger.error('a connection ended by an error', { error });
  });
  const end = (): void => {
    const last = wire?.socket ?? socket;
    last.end();
    last.destroySoon();
  };
  return {
    key: () => proved.key,
    ended: served.then(() => {
      end();
      return closed;
    }),
    terminate: () => {
      if (wire?.session?.terminate) {
        wire.session.terminate();
        return;
      }
      if (wire) {
        writeError(
          wire.writer,
          'FATAL',
          new SqlError('57P01', 'terminating connection due to administrator command'),
        );
        wire.socket.write(wire.writer.take());
      }
      end();
      wire?.session?.cancel();
    },
    destroy: () => socket.destroy(),
  };
}

function createWire<Key extends ScramKey>(
  transport: Transport,
  context: ServerContext<Key>,
  logger: Logger,
): Wire {
  const { socket } = transport;
  const wire: Wire = {
    ...transport,
    logger,
    inbox: createInbox(socket, context.limits),
    session: undefined,
    ...createOutput(socket),
  };
  socket.on('error', (error) => logger.debug('the connection broke', { error }));
  for (const event of ['end', 'close']) socket.on(event, () => wire.session?.cancel());
  return wire;
}

/** Encryption, before anything else; undefined when the client has gone, or did not finish in time. */
async function settleEncryption<Key extends ScramKey>(
  socket: Socket,
  { options, limits }: ServerContext<Key>,
): Promise<Transport | undefined> {
  const timer = setTimeout(() => sayTooLate(socket, createByteWriter()), limits.startupMsMax);
  try {
    return await openTransport(socket, options.tls);
  } catch (error) {
    const { writer, flush } = createOutput(socket);
    writeError(writer, 'FATAL', error);
    await flush();
    return undefined;
  } finally {
    clearTimeout(timer);
  }
}

async function serve<Key extends ScramKey>(
  wire: Wire,
  context: ServerContext<Key>,
  proved: Proved<Key>,
): Promise<void> {
  const { logger } = wire;
  const registration = { current: undefined as Registered | undefined };
  try {
    const sql = await start(wire, context, registration, proved);
    if (!sql || !registration.current) return;
    const { processId, secret } = registration.current;
    await using session =
      'stream' in sql
        ? relaySession(sql, wire)
        : createPgSession({
            ...{ sql, output: wire, logger, limits: context.limits },
            input: sessionInput(wire.inbox),
          });
    wire.session = session;
    await session.start(() => writeBackendKeyData(wire.writer, processId, secret));
    for (;;) {
      const frame = await wire.inbox.next('session');
      if (!frame || (await session.handle(frame)) === 'end') return;
    }
  } catch (error) {
    if (error instanceof ClientGone) return;
    if (!(error instanceof SqlError)) logger.error('a session ended by an error', { error });
    else logger.info('a client was refused', { sqlstate: error.sqlstate, error });
    writeError(wire.writer, 'FATAL', error);
    await wire.flush();
  } finally {
    wire.session = undefined;
    if (registration.current) context.sessions.delete(registration.current.processId);
  }
}

/** Everything before the session; undefined if the connection was for something else (a cancel request). */
async function start<Key extends ScramKey>(
  wire: Wire,
  context: ServerContext<Key>,
  registration: { current: Registered | undefined },
  proved: Proved<Key>,
): Promise<SqlSession | RemoteSession | undefined> {
  const { limits, options } = context;
  const timer = setTimeout(() => sayTooLate(wire.socket, wire.writer), limits.startupMsMax);
  try {
    const frame = await wire.inbox.next('startup');
    if (!frame) return undefined;
    const message = firstMessage(frame);
    const address = wire.socket.remoteAddress ?? '';
    if (message.kind === 'cancel') {
      context.cancel(message.processId, message.secret);
      return undefined;
    }
    if (wire.tls === undefined && options.requiresTls?.(address)) {
      throw new SqlError('28000', 'this server takes encrypted connections only', {
        hint: 'connect with sslmode=require',
      });
    }
    const request = negotiate(message, wire.writer);
    const io = {
      ...wire,
      next: async (): Promise<Frame> => (await wire.inbox.next('authentication')) ?? gone(),
    };
    const { serverSecret } = context;
    const facts = {
      serverSecret,
      encrypted: wire.tls !== undefined,
      channelBinding: wire.tls?.channelBinding,
      address,
    };
    const key = await authenticate(options.authenticate, request.user, io, facts);
    proved.key = key;
    writeAuthentication(wire.writer, 'ok');
    registration.current = context.register(() => wire.session?.cancel());
    if (!registration.current) throw new SqlError('53300', 'sorry, too many clients already');
    const { processId, secret } = registration.current;
    return await options.openSession({ ...request, key, processId, secret });
  } finally {
    clearTimeout(timer);
  }
}

function sayTooLate(socket: Socket, writer: ByteWriter): void {
  writeError(writer, 'FATAL', new SqlError('57014', 'canceling authentication due to timeout'));
  socket.end(writer.take());
  socket.destroySoon();
}

function gone(): never {
  throw new ClientGone();
}

type FirstMessage = Exclude<StartupMessage, { kind: 'ssl-request' | 'gss-request' }>;

function firstMessage({ body }: Frame): FirstMessage {
  const message = decodeStartup(body);
  if (message.kind !== 'ssl-request' && message.kind !== 'gss-request') return message;
  throw new SqlError('08P01', 'the connection is encrypted already');
}
