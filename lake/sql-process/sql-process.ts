import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { RemoteSession } from '../pgwire/relay.ts';
import { SqlError } from '../sql/errors.ts';
import type { Tables } from '../tables.ts';
import {
  type FromEngine,
  type SessionHead,
  type Sockets,
  type StartOptions,
  type StatementHead,
  type ToEngine,
  whoHeader,
} from './messages.ts';
import { createTablesDesk, type TablesDesk } from './tables-desk.ts';

/** A tenant's SQL engine in a process of its own, which may die without harm to anything else (README.md). */
export interface SqlProcess extends AsyncDisposable {
  /** A session for an authenticated client of the PostgreSQL protocol. */
  session(tables: Tables, client: Omit<SessionHead, 'session' | 'tables'>): Promise<RemoteSession>;
  /** Answers one statement over HTTP; `type` is the media type that is asked for. */
  statement(
    tables: Tables,
    client: Omit<StatementHead, 'tables'>,
    statement: { readonly sql: string; readonly type: string; readonly signal: AbortSignal },
  ): Promise<Response>;
  /** Of the process that runs now, if one does. */
  readonly pid: number | undefined;
}

export interface SqlProcessOptions extends StartOptions {
  readonly logger: Logger;
  /** Without sessions for so long, it ends until it is needed again. */
  readonly idleMs?: number;
  /** A process that does not answer for so long is ended. */
  readonly silentMsMax?: number;
}

const defaults = { idleMs: 300_000, silentMsMax: 60_000 } as const;

interface Running {
  readonly child: ChildProcess;
  readonly sockets: Sockets;
  readonly desk: TablesDesk;
}

/** Starts the process when it is first needed, and again when it has ended. */
export function createSqlProcess(options: SqlProcessOptions): SqlProcess {
  const { idleMs } = { ...defaults, ...options };
  let running: Promise<Running> | undefined;
  let pid: number | undefined;
  let users = 0;
  let idle: NodeJS.Timeout | undefined;
  let lastSession = 0;

  const process = (): Promise<Running> => {
    if (running) return running;
    const started = startEngine(options, (ended) => {
      if (pid === ended) pid = undefined;
      if (running === started) running = undefined;
    });
    running = started;
    started.then(({ child }) => {
      pid = child.pid;
    });
    started.catch(() => {
      if (running === started) running = undefined;
    });
    return started;
  };
  const end = async (): Promise<void> => {
    const last = await running?.catch(() => undefined);
    if (!last || last.child.exitCode !== null || last.child.signalCode !== null) return;
    const ended = once(last.child, 'exit');
    last.child.kill('SIGKILL');
    await ended;
  };
  const enter = (): void => {
    users++;
    clearTimeout(idle);
  };
  const leave = (): void => {
    users--;
    if (users > 0) return;
    idle = setTimeout(() => void end(), idleMs);
    idle.unref();
  };

  return {
    get pid() {
      return pid;
    },
    session: async (tables, client) => {
      enter();
      try {
        const { child, sockets, desk } = await process();
        const id = desk.admit(tables);
        const session = ++lastSession;
        const stream = connect(sockets.pg);
        stream.once('close', () => {
          desk.dismiss(id);
          leave();
        });
        stream.write(headOf({ ...client, session, tables: id }));
        const tell = (kind: 'cancel' | 'terminate') => (): void => sendTo(child, { kind, session });
        return { stream, cancel: tell('cancel'), terminate: tell('terminate') };
      } catch (error) {
        leave();
        throw error;
      }
    },
    statement: async (tables, client, statement) => {
      enter();
      try {
        const { sockets, desk } = await process();
        const id = desk.admit(tables);
        return await askOverHttp(sockets.http, { ...client, tables: id }, statement, () => {
          desk.dismiss(id);
          leave();
        });
      } catch (error) {
        leave();
        throw error;
      }
    },
    [Symbol.asyncDispose]: async () => {
      clearTimeout(idle);
      await end();
    },
  };
}

function headOf(head: SessionHead): Buffer {
  const json = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(json.length);
  return Buffer.concat([length, json]);
}

function sendTo(child: ChildProcess, message: ToEngine): void {
  if (child.connected) child.send(message);
}

/** What a SQL engine needs of this process' environment: no setting of the deployment, and none of its secrets. */
function environment(): NodeJS.ProcessEnv {
  const { PATH, TMPDIR, NODE_COMPILE_CACHE } = process.env;
  return { PATH, TMPDIR, NODE_COMPILE_CACHE, TZ: 'UTC', MALLOC_ARENA_MAX: '2' };
}

async function startEngine(options: SqlProcessOptions, onEnd: (pid?: number) => void): Promise<Running> {
  const { logger, engine, limits, logLevel } = options;
  // Nobody else can enter a folder that mkdtemp makes.
  const folder = mkdtempSync(join(tmpdir(), 'firn-sql-'));
  const sockets = { pg: join(folder, 'pg'), http: join(folder, 'http') };
  const child = fork(join(import.meta.dirname, 'main.ts'), [], {
    ...{ env: environment(), execArgv: [], serialization: 'advanced' },
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const desk = createTablesDesk((message) => sendTo(child, message));
  const stopWatching = watch(child, options);
  child.once('exit', (code, signal) => {
    stopWatching();
    rmSync(folder, { recursive: true, force: true });
    void desk.close();
    onEnd(child.pid);
    logger.info('a SQL engine has ended', { pid: child.pid, code, signal });
  });
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>();
  child.once('error', reject);
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
  return { child, sockets, desk };
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

async function askOverHttp(
  socketPath: string,
  head: StatementHead,
  { sql, type, signal }: { readonly sql: string; readonly type: string; readonly signal: AbortSignal },
  done: () => void,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = { accept: type, 'content-type': 'text/plain', [whoHeader]: JSON.stringify(head) };
  const request = httpRequest(
    { socketPath, method: 'POST', path: '/api/v1/firn/sql', headers, signal, agent: false },
    resolve,
  );
  request.once('error', reject);
  request.once('close', done);
  request.end(sql);
  try {
    const answer = await promise;
    const body = Readable.toWeb(answer) as ReadableStream<Uint8Array>;
    const contentType = answer.headers['content-type'] ?? '';
    return new Response(body, { status: answer.statusCode ?? 500, headers: { 'content-type': contentType } });
  } catch (cause) {
    throw new SqlError('57P02', 'the SQL engine of this database has crashed', {
      hint: 'Ask again: it is started anew. A statement that ended it before will again.',
      cause,
    });
  }
}
