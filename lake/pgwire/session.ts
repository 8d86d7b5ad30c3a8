import type { Logger } from '../base/log.ts';
import type { ByteWriter } from '../sql/cells/byte-writer.ts';
import { canceled, SqlError } from '../sql/errors.ts';
import type { SqlSession } from '../sql/sql-session.ts';
import { decodeMessage, type Frame, type FrontendMessage } from './codec.ts';
import { bind, close, describe, execute, parse } from './extended-query.ts';
import { type TransactionStatus, writeError, writeParameterStatus, writeReadyForQuery } from './messages.ts';
import { closePortals, type Portal, type Prepared } from './portal.ts';
import { simpleQuery } from './simple-query.ts';
import { endImplicit, failTransaction } from './transaction.ts';

// The state machine of an authenticated connection: messages in, messages out. It knows no socket and no clock.
// https://www.postgresql.org/docs/16/protocol-flow.html

/** Where a session's messages go. */
export interface SessionOutput {
  readonly writer: ByteWriter;
  /** Sends what is written; resolves when more may be written. Rejects when the client is gone. */
  flush(): Promise<void>;
}

export interface SessionLimits {
  /** Named prepared statements that a session may have (53400). */
  readonly preparedStatementsMax: number;
  /** Named portals that a session may have (53400); each may hold a result of the engine. */
  readonly portalsMax: number;
}

export const sessionLimits: SessionLimits = { preparedStatementsMax: 1000, portalsMax: 32 };

export interface PgSession extends AsyncDisposable {
  /** The first messages after authentication: ParameterStatus, and that it is ready. */
  start(writeKeyData: () => void): Promise<void>;
  /** Answers one message; `end` when the client says goodbye. Rejects only when the output does. */
  handle(frame: Frame): Promise<'continue' | 'end'>;
  /** Aborts the statement that runs, if any; its error is 57014. */
  cancel(): void;
  /** Of a session that writes to the client by itself: lets it say that the server closes. */
  terminate?(): void;
}

/** Where messages come from while one of them is answered: the rows of COPY FROM STDIN. */
export interface SessionInput {
  /** Undefined when the client has gone. */
  next(): Promise<Frame | undefined>;
  /** The same, but it stays the next. */
  peek(): Promise<Frame | undefined>;
}

/** What the handlers of messages share. */
export interface SessionState {
  readonly sql: SqlSession;
  readonly input: SessionInput;
  readonly output: SessionOutput;
  readonly limits: SessionLimits;
  readonly prepared: Map<string, Prepared>;
  readonly portals: Map<string, Portal>;
  transaction: TransactionStatus;
  /** Outside of a block, some statements are one transaction until the text, or the series up to Sync, ends. */
  implicit: boolean;
  /** Names of the transaction's savepoints, the latest last. */
  readonly savepoints: string[];
  /** After an error in the extended protocol everything up to Sync is discarded. */
  discarding: boolean;
  /** Aborts what runs now. A result that is read in parts keeps the one that it was started with. */
  running: AbortController;
}

/** Unsent bytes from which a session stops to let the client read. */
const flushBytes = 65_536;

export function createPgSession(options: {
  readonly sql: SqlSession;
  readonly input: SessionInput;
  readonly output: SessionOutput;
  readonly logger: Logger;
  readonly limits?: Partial<SessionLimits>;
}): PgSession {
  const { sql, input, output, logger } = options;
  const state = initialState(sql, input, output, { ...sessionLimits, ...options.limits });
  const told = new Map<string, string>();

  /** Tells the client about parameters that have changed. */
  const tell = (): void => {
    for (const [name, value] of sql.parameters) {
      if (told.get(name) === value) continue;
      told.set(name, value);
      writeParameterStatus(output.writer, name, value);
    }
  };

  /** As in PostgreSQL, changes are told when the session is ready again. */
  const ready = async (): Promise<void> => {
    tell();
    writeReadyForQuery(output.writer, state.transaction);
    await output.flush();
  };

  const fail = async (thrown: unknown): Promise<void> => {
    const error =
      state.running.signal.aborted && !(thrown instanceof SqlError) ? canceled('user request') : thrown;
    if (!(error instanceof SqlError)) logger.error('a statement failed for a reason of its own', { error });
    writeError(output.writer, 'ERROR', error);
    await failTransaction(state);
  };

  return {
    start: async (writeKeyData) => {
      tell();
      writeKeyData();
      await ready();
    },
    handle: async (frame) => {
      if (frame.type === 'X') return 'end';
      if (state.discarding && frame.type !== 'S') return 'continue';
      state.discarding = false;
      state.running = new AbortController();
      try {
        await answer(state, decodeMessage(frame));
      } catch (error) {
        await fail(error);
        state.discarding = 'PBDECH'.includes(frame.type);
      }
      // What is cancelled from here on is nothing.
      state.running = new AbortController();
      // These three are answered by ReadyForQuery whatever comes of them.
      if ('QSF'.includes(frame.type)) await ready();
      else if (state.discarding || output.writer.length >= flushBytes) await output.flush();
      return 'continue';
    },
    cancel: () => state.running.abort(canceled('user request')),
    [Symbol.asyncDispose]: async () => {
      state.running.abort(canceled('user request'));
      await closePortals(state);
      await sql[Symbol.asyncDispose]();
    },
  };
}

function initialState(
  sql: SqlSession,
  input: SessionInput,
  output: SessionOutput,
  limits: SessionLimits,
): SessionState {
  return {
    sql,
    input,
    output,
    limits,
    prepared: new Map(),
    portals: new Map(),
    transaction: 'I',
    implicit: false,
    savepoints: [],
    discarding: false,
    running: new AbortController(),
  };
}

async function answer(state: SessionState, message: FrontendMessage): Promise<void> {
  switch (message.kind) {
    case 'query':
      await simpleQuery(state, message.text);
      return;
    case 'parse':
      return parse(state, message);
    case 'bind':
      return bind(state, message);
    case 'describe':
      return describe(state, message);
    case 'execute':
      return execute(state, message);
    case 'close':
      return close(state, message);
    case 'flush':
      return state.output.flush();
    case 'sync':
      // Outside of a block, the transaction ends here.
      await endImplicit(state, 'commit');
      if (state.transaction === 'I') await closePortals(state);
      return;
    case 'function-call':
      throw new SqlError('0A000', 'calling a function by its object id is not supported');
    case 'copy': // late messages of a COPY that has failed
    case 'terminate':
      return;
  }
}
