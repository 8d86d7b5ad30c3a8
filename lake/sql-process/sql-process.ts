import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { RemoteSession } from '../pgwire/relay.ts';
import { SqlError } from '../sql/errors.ts';
import type { SqlSource } from '../sql/session.ts';
import { askStatement, connectEngine } from './ask.ts';
import { jsonFrame } from './frames.ts';
import type { FromEngine, SessionHead, Sockets, StartOptions, StatementHead, ToEngine } from './messages.ts';
import { createSourceDesk, type SourceDesk } from './source-desk.ts';

/** A tenant's SQL engine in a process of its own, which may die without harm to anything else (README.md). */
export interface SqlProcess extends AsyncDisposable {
  /** A session for an authenticated client of the PostgreSQL protocol. */
  session(source: SqlSource, client: Omit<SessionHead, 'session' | 'source'>): Promise<RemoteSession>;
  /** Answers one statement over HTTP; `type` is the media type that is asked for. */
  statement(
    source: SqlSource,
    client: Omit<StatementHead, 'source'>,
    statement: { readonly sql: string; readonly type: string; readonly signal: AbortSignal },
  ): Promise<Response>;
  /** Of the process that runs now, if one does. */
  readonly pid: number | undefined;
}

export interface SqlProcessOptions extends StartOptions {
  readonly logger: Logger;
  /** Flags of Node for it. */
  readonly nodeFlags?: readonly string[];
  /** Without sessions for so long, it ends until it is needed again. */
  readonly idleMs?: number;
  /** A process that does not answer for so long is ended. */
  readonly silentMsMax?: number;
}

const defaults = { idleMs: 300_000, silentMsMax: 60_000 } as const;

interface Running {
  readonly child: ChildProcess;
  readonly sockets: Sockets;
  readonly desk: SourceDesk;
  readonly ended: Promise<void>;
}

/** Starts the process when it is first needed, and again when it has ended. */
export function createSqlProcess(options: SqlProcessOptions): SqlProcess {
  const keeper = createKeeper(options);
  let lastSession = 0;
  return {
    get pid() {
      return keeper.pid();
    },
    session: (source, client) =>
      keeper.enter(source, async ({ child, sockets }, id, leave) => {
        const session = ++lastSession;
        let take = (_: Uint8Array): boolean => false;
        const stream = await connectEngine(sockets.pg, (bytes) => take(bytes));
        stream.once('close', leave);
        stream.write(jsonFrame({ ...client, session, source: id } satisfies SessionHead));
        const tell = (kind: 'cancel' | 'terminate') => (): void => sendTo(child, { kind, session });
        const receive = (by: typeof take): void => {
          take = by;
        };
        return { stream, receive, cancel: tell('cancel'), terminate: tell('terminate') };
      }),
    statement: (source, client, statement) =>
      keeper.enter(source, ({ sockets }, id, leave) =>
        askStatement(sockets.http, { ...client, source: id }, statement, leave),
      ),
    [Symbol.asyncDispose]: keeper.end,
  };
}

/** Talks to the process on behalf of a client whose source has this number, until `leave` is called. */
type Use<T> = (running: Running, source: number, leave: () => void) => Promise<T>;

interface Keeper {
  pid(): number | undefined;
  enter<T>(source: SqlSource, use: Use<T>): Promise<T>;
  end(): Promise<void>;
}

/** Knows whether the process runs, who needs it, and when nobody does any more. */
function createKeeper(options: SqlProcessOptions): Keeper {
  const { idleMs } = { ...defaults, ...options };
  let running: Promise<Running> | undefined;
  let pid: number | undefined;
  let users = 0;
  let idle: NodeJS.Timeout | undefined;

  const start = (): Promise<Running> => {
    if (running) return running;
    const forget = (): void => {
      if (running === started) running = undefined;
    };
    const started = startEngine(options, (ended) => {
      if (pid === ended) pid = undefined;
      forget();
    });
    running = started;
    started.then(({ child }) => {
      pid = child.pid;
    }, forget);
    return started;
  };
  const end = async (): Promise<void> => {
    clearTimeout(idle);
    const last = await running?.catch(() => undefined);
    last?.child.kill('SIGKILL');
    await last?.ended;
  };
  const leaveEngine = (): void => {
    users--;
    if (users > 0) return;
    idle = setTimeout(() => void end(), idleMs);
    idle.unref();
  };
  const attempt = async <T>(source: SqlSource, use: Use<T>): Promise<T> => {
    const engine = await start();
    const id = engine.desk.admit(source);
    try {
      return await use(engine, id, () => {
        engine.desk.dismiss(id);
        leaveEngine();
      });
    } catch (error) {
      engine.desk.dismiss(id);
      // It has just died, and nobody was told yet.
      if (isGone(error)) await engine.ended;
      throw error;
    }
  };

  return {
    pid: () => pid,
    enter: async (source, use) => {
      users++;
      clearTimeout(idle);
      try {
        return await attempt(source, use).catch((error) => {
          if (!isGone(error)) throw error;
          return attempt(source, use);
        });
      } catch (error) {
        leaveEngine();
        throw error;
      }
    },
    end,
  };
}

/** Nobody listens: the process that did is dead. */
const isGone = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'ECONNREFUSED' || error.code === 'ENOENT');

function sendTo(child: ChildProcess, message: ToEngine): void {
  if (child.connected) child.send(message);
}

/** What a SQL engine needs of this process' environment: no setting of the deployment, and none of its secrets. */
function environment(): NodeJS.ProcessEnv {
  const { PATH, TMPDIR, NODE_COMPILE_CACHE } = process.env;
  return { PATH, TMPDIR, NODE_COMPILE_CACHE, TZ: 'UTC', MALLOC_ARENA_MAX: '2' };
}

async function startEngine(options: SqlProcessOptions, onEnd: (pid?: number) => void): Promise<Running> {
  const { logger, engine, limits, logLevel, nodeFlags = [] } = options;
  // Nobody else can enter a folder that mkdtemp makes.
  const folder = mkdtempSync(join(tmpdir(), 'firn-sql-'));
  const sockets = { pg: join(folder, 'pg'), http: join(folder, 'http') };
  const child = fork(join(import.meta.dirname, 'main.ts'), [], {
    ...{ env: environment(), execArgv: [...nodeFlags], serialization: 'advanced' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const desk = createSourceDesk(
    (message) => sendTo(child, message),
    (error) => logger.error('a view of a SQL session could not be closed', { error }),
  );
  const stopWatching = watch(child, options);
  const { promise: ended, resolve: end } = Promise.withResolvers<void>();
  child.once('exit', (code, signal) => {
    end();
    stopWatching();
    rmSync(folder, { recursive: true, force: true });
    if (engine.spill) rmSync(engine.spill.directory, { recursive: true, force: true });
    desk.close();
    onEnd(child.pid);
    logger.info('a SQL engine has ended', { pid: child.pid, code, signal });
  });
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  // Also a message that finds its reader dead; `exit` follows then.
  child.on('error', reject);
  child.once('exit', () => reject(new Error('the SQL engine ended at its start')));
  child.on('message', (message: FromEngine) => {
    if (message.kind === 'ready') resolve();
    else if (message.kind === 'failed') reject(new Error(message.message));
    else if (message.kind !== 'pong') desk.receive(message);
  });
  sendTo(child, { kind: 'start', options: { engine, limits, logLevel }, sockets });
  try {
    await ready;
  } catch (cause) {
    child.kill('SIGKILL');
    throw new SqlError('57P03', `the SQL engine could not be started: ${messageOf(cause)}`, { cause });
  }
  return { child, sockets, desk, ended };
}

/** Ends a process that has answered nothing for too long: something holds its only thread. */
function watch(
  child: ChildProcess,
  { logger, silentMsMax = defaults.silentMsMax }: SqlProcessOptions,
): () => void {
  let waiting = false;
  child.on('message', () => {
    waiting = false;
  });
  const timer = setInterval(() => {
    if (waiting) {
      logger.error('a SQL engine does not answer and is ended', { pid: child.pid });
      child.kill('SIGKILL');
    }
    waiting = true;
    sendTo(child, { kind: 'ping' });
  }, silentMsMax / 2);
  timer.unref();
  return () => clearInterval(timer);
}
