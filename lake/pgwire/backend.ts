import type { Socket } from 'node:net';
import type { Logger } from '../base/log.ts';
import { SqlError } from '../sql/errors.ts';
import type { SqlSession } from '../sql/sql-session.ts';
import { createInbox, sessionInput } from './inbox.ts';
import { writeBackendKeyData, writeError } from './messages.ts';
import { ClientGone, createOutput } from './output.ts';
import { createPgSession, type PgSession, type SessionLimits } from './session.ts';

// The session of a client that another process has let in: its messages come over a socket between the two (relay.ts).

export interface Backend {
  readonly ended: Promise<void>;
  cancel(): void;
  /** Tells the client that the server closes (57P01), when what runs has ended, and ends. */
  terminate(): void;
}

export interface BackendOptions {
  readonly socket: Socket;
  readonly openSession: () => Promise<SqlSession>;
  readonly keyData: { readonly processId: number; readonly secret: Buffer };
  readonly limits: SessionLimits & { readonly messageBytesMax: number; readonly readAheadBytesMax: number };
  readonly logger: Logger;
}

export function serveBackend({ socket, openSession, keyData, limits, logger }: BackendOptions): Backend {
  const inbox = createInbox(socket, limits);
  const output = createOutput(socket);
  const { writer, flush } = output;
  let running: PgSession | undefined;
  let terminated = false;
  for (const event of ['end', 'close'] as const) socket.on(event, () => running?.cancel());
  const serve = async (): Promise<void> => {
    try {
      const sql = await openSession();
      await using session = createPgSession({
        ...{ sql, output, logger, limits },
        input: sessionInput(inbox),
      });
      running = session;
      await session.start(() => writeBackendKeyData(writer, keyData.processId, keyData.secret));
      while (!terminated) {
        const frame = await inbox.next('session');
        if (!frame || (await session.handle(frame)) === 'end') break;
      }
      if (terminated) throw new SqlError('57P01', 'terminating connection due to administrator command');
    } catch (error) {
      if (error instanceof ClientGone) return;
      if (!(error instanceof SqlError)) logger.error('a session ended by an error', { error });
      writeError(writer, 'FATAL', error);
      await flush().catch(() => undefined);
    } finally {
      running = undefined;
    }
  };
  return {
    ended: serve().finally(() => socket.end()),
    cancel: () => running?.cancel(),
    terminate: () => {
      terminated = true;
      running?.cancel();
      inbox.end();
    },
  };
}
