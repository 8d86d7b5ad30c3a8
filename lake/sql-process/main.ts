import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { answerBySession, sqlRoutes } from '../api/sql/routes.ts';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { createLogger } from '../base/log.ts';
import { tenantId } from '../model/ids.ts';
import { type Backend, serveBackend } from '../pgwire/backend.ts';
import { pgServerLimits } from '../pgwire/server.ts';
import { lazyEngine } from '../sql/duckdb/engine.ts';
import { openSqlSession } from '../sql/session.ts';
import type { SqlSession } from '../sql/sql-session.ts';
import { readJsonFrame, sendAnswer } from './frames.ts';
import type {
  FromEngine,
  SessionHead,
  Sockets,
  StartOptions,
  StatementHead,
  StatementRequest,
  ToEngine,
} from './messages.ts';
import { createRemoteSources, type RemoteSources } from './remote-sources.ts';

// The process of one tenant's SQL engine (README.md). It has DuckDB and the sessions of the tenant's clients; it has no
// keys, no settings of the deployment, and no way to the object store.

const send = (message: FromEngine): void => {
  if (process.connected) process.send?.(message);
};
const backends = new Map<number, Backend>();
let sources: RemoteSources | undefined;

process.on('message', (message: ToEngine) => {
  switch (message.kind) {
    case 'start':
      start(message.options, message.sockets).then(
        () => send({ kind: 'ready' }),
        (error) => send({ kind: 'failed', message: messageOf(error) }),
      );
      return;
    case 'answer':
    case 'refusal':
      return sources?.receive(message);
    case 'cancel':
      return backends.get(message.session)?.cancel();
    case 'terminate':
      return backends.get(message.session)?.terminate();
    case 'ping':
      return send({ kind: 'pong' });
  }
});
// Without who started it, it is of no use to anybody.
process.on('disconnect', () => process.exit(0));
// Ctrl-C in a terminal reaches every process of it; the other one ends this one.
process.on('SIGINT', () => undefined);

async function start(options: StartOptions, sockets: Sockets): Promise<void> {
  beFirstToGo();
  const logger = createLogger(options.logLevel).with({ part: 'sql-engine' });
  const engine = lazyEngine(options.engine);
  const open = ({ source, user, database }: StatementHead, startParameters = new Map<string, string>()) => {
    sources ??= createRemoteSources(tenantId(database), send);
    return openSqlSession({
      ...{ ...sources.of(source), engine, clock: systemClock, user, database, startParameters },
      limits: options.limits,
    });
  };
  const pg = createServer({ noDelay: true }, async (socket) => {
    socket.on('error', () => undefined);
    const head = (await readJsonFrame(socket)) as SessionHead | undefined;
    if (!head) return;
    const { session, processId } = head;
    const backend = serveBackend({
      ...{ socket, logger, limits: pgServerLimits },
      keyData: { processId, secret: Buffer.from(head.secret, 'hex') },
      openSession: () => open(head, new Map(head.parameters)),
    });
    backends.set(session, backend);
    await backend.ended;
    backends.delete(session);
  });
  const statements = createServer(async (socket) => {
    socket.on('error', () => undefined);
    const request = (await readJsonFrame(socket)) as StatementRequest | undefined;
    if (request) await answerStatement(socket, request, async () => open(request));
  });
  await Promise.all([listen(pg, sockets.pg), listen(statements, sockets.http)]);
}

/** Answers one statement as the HTTP API does. When the other side goes, it is canceled. */
async function answerStatement(
  socket: Socket,
  { sql, type }: StatementRequest,
  openSession: () => Promise<SqlSession>,
): Promise<void> {
  const gone = new AbortController();
  socket.once('close', () => gone.abort());
  socket.resume();
  const app = sqlRoutes({ answer: answerBySession(openSession), bodyBytesMax: Number.POSITIVE_INFINITY });
  const headers = { accept: type, 'content-type': 'text/plain' };
  const request = { method: 'POST', headers, body: sql, signal: gone.signal };
  await sendAnswer(socket, await app.request('/api/v1/firn/sql', request)).catch(() => socket.destroy());
}

const listen = (server: { listen(path: string, done: () => void): unknown }, path: string): Promise<void> =>
  new Promise((resolve) => server.listen(path, resolve));

/** Where memory is short, Linux shall end this process and not the one that receives data. */
function beFirstToGo(): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '800');
  } catch {
    // Another system, or one that does not allow it.
  }
}
