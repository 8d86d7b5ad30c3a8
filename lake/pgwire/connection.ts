import type { Socket } from 'node:net';
import type { Logger } from '../base/log.ts';
import { SqlError } from '../sql/errors.ts';
import type { SqlSession } from '../sql/sql-session.ts';
import { createByteWriter } from './byte-writer.ts';
import { decodeStartup, type Frame, type StartupMessage } from './codec.ts';
import { createInbox, type Inbox } from './inbox.ts';
import { writeAuthentication, writeBackendKeyData, writeError } from './messages.ts';
import type { Registered, ServerContext } from './server.ts';
import { createPgSession, type PgSession, type SessionOutput } from './session.ts';
import { authenticate, negotiate, type ScramKey } from './startup.ts';

/** One socket from its first byte to its last. */
export interface Connection {
  /** Resolves when the socket is closed and its session disposed; never rejects. */
  readonly ended: Promise<void>;
  /** Tells the client that the server closes (57P01), aborts what runs, and ends the connection. */
  terminate(): void;
  destroy(): void;
}

/** The client went away: nobody is left to tell. */
class ClientGone extends Error {}

/** What the steps of a connection share. */
interface Wire extends SessionOutput {
  readonly socket: Socket;
  readonly inbox: Inbox;
  readonly logger: Logger;
  /** Set while a statement may run. */
  session: PgSession | undefined;
}

export function serveConnection<Key extends ScramKey>(
  socket: Socket,
  context: ServerContext<Key>,
): Connection {
  const logger = context.options.logger.with({ client: `${socket.remoteAddress}:${socket.remotePort}` });
  const wire: Wire = {
    socket,
    logger,
    inbox: createInbox(socket, context.limits),
    session: undefined,
    ...createOutput(socket),
  };
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  socket.on('error', (error) => logger.debug('the connection broke', { error }));
  socket.on('end', () => wire.session?.cancel());
  socket.on('close', () => {
    wire.session?.cancel();
    resolve();
  });
  const served = serve(wire, context).catch((error) => {
    if (!(error instanceof ClientGone)) logger.error('a connection ended by an error', { error });
  });
  return {
    ended: served.then(() => {
      socket.end();
      socket.destroySoon();
      return closed;
    }),
    terminate: () => {
      writeError(
        wire.writer,
        'FATAL',
        new SqlError('57P01', 'terminating connection due to administrator command'),
      );
      socket.end(wire.writer.take());
      socket.destroySoon();
      wire.session?.cancel();
    },
    destroy: () => socket.destroy(),
  };
}

/** Buffers messages; a flush waits until the client has taken them. */
function createOutput(socket: Socket): SessionOutput {
  const writer = createByteWriter();
  return {
    writer,
    flush: async () => {
      const bytes = writer.take();
      if (!socket.writable) throw new ClientGone();
      if (bytes.length === 0 || socket.write(bytes)) return;
      const { promise, resolve } = Promise.withResolvers<void>();
      socket.once('drain', resolve);
      socket.once('close', resolve);
      await promise;
      socket.off('drain', resolve);
      socket.off('close', resolve);
      if (!socket.writable) throw new ClientGone();
    },
  };
}

async function serve<Key extends ScramKey>(wire: Wire, context: ServerContext<Key>): Promise<void> {
  const { logger } = wire;
  const registration = { current: undefined as Registered | undefined };
  try {
    const sql = await start(wire, context, registration);
    if (!sql || !registration.current) return;
    const { processId, secret } = registration.current;
    await using session = createPgSession({ sql, output: wire, logger, limits: context.limits });
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
): Promise<SqlSession | undefined> {
  const { limits, options } = context;
  const timer = setTimeout(() => {
    writeError(wire.writer, 'FATAL', new SqlError('57014', 'canceling authentication due to timeout'));
    wire.socket.end(wire.writer.take());
    wire.socket.destroySoon();
  }, limits.startupMsMax);
  try {
    const message = await firstMessage(wire);
    if (!message) return undefined;
    if (message.kind === 'cancel') {
      context.cancel(message.processId, message.secret);
      return undefined;
    }
    const request = negotiate(message, wire.writer);
    const io = {
      ...wire,
      next: async (): Promise<Frame> => (await wire.inbox.next('authentication')) ?? gone(),
    };
    const key = await authenticate(options.authenticate, request.user, io, context.serverSecret);
    writeAuthentication(wire.writer, 'ok');
    registration.current = context.register(() => wire.session?.cancel());
    if (!registration.current) throw new SqlError('53300', 'sorry, too many clients already');
    return await options.openSession({ ...request, key });
  } finally {
    clearTimeout(timer);
  }
}

function gone(): never {
  throw new ClientGone();
}

type FirstMessage = Exclude<StartupMessage, { kind: 'ssl-request' | 'gss-request' }>;

/** Declines encryption, once of each sort, and returns what the client says then. */
async function firstMessage(wire: Wire): Promise<FirstMessage | undefined> {
  const declined = new Set<string>();
  for (;;) {
    const frame = await wire.inbox.next('startup');
    if (!frame) return undefined;
    const message = decodeStartup(frame.body);
    if (message.kind !== 'ssl-request' && message.kind !== 'gss-request') return message;
    if (declined.has(message.kind)) throw new SqlError('08P01', 'encryption was declined already');
    declined.add(message.kind);
    wire.writer.text('N');
    await wire.flush();
  }
}
