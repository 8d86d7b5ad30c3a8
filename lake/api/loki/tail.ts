import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { labelsText } from '../../logql/answer/encode.ts';
import type { LogExpr } from '../../logql/ast.ts';
import { metadataReader } from '../../logql/collect.ts';
import { LogqlError } from '../../logql/errors.ts';
import { defaultEntries, type LogqlLimits } from '../../logql/limits.ts';
import { parseLogExpr } from '../../logql/parse.ts';
import { compilePipeline } from '../../logql/pipeline/compile.ts';
import { valueTest } from '../../logql/pipeline/label-filter.ts';
import { emptyLabels, resetLabels } from '../../logql/pipeline/row.ts';
import { planPipeline } from '../../logql/plan.ts';
import { categories, type LogStream, runQuery } from '../../logql/query.ts';
import type { LineBatch, Stream } from '../../logql/source.ts';
import { compareText, type SeriesLabels } from '../../logql/value.ts';
import type { TenantId } from '../../model/ids.ts';
import type { LogScan } from '../../scan/log-scan.ts';
import type { UpgradeHandler } from '../http-server.ts';
import type { LiveLogs } from './live-logs.ts';
import { badParameter, countParameter, durationParameter, timeParameter } from './parameters.ts';
import { nowNs } from './queries.ts';
import { createTailQueue, type TailFrame, type TailLine } from './tail-queue.ts';

// GET /loki/api/v1/tail over WebSocket: what there is of the last hour, and then lines as they come in.

export const tailPath = '/loki/api/v1/tail';

interface TailDeployment {
  readonly logs: LogScan;
  readonly live: LiveLogs;
}

interface TailOptions {
  /** Whose data it is about; undefined when the request has no right to any. */
  readonly context: (
    request: IncomingMessage,
  ) => TailDeployment | undefined | Promise<TailDeployment | undefined>;
  readonly limits: LogqlLimits;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Tail extends AsyncDisposable {
  readonly upgrade: UpgradeHandler;
  /** Ends the tails whose requests would be refused now. */
  endRefused(): Promise<void>;
}

/** Clients that tail at a time: of one tenant, and of all. */
export const tailsPerTenantMax = 100;
const tailsMax = 1000;
/** Bytes on their way to a client before lines wait. */
const bufferedBytesMax = 4 * 1024 * 1024;
const flushMs = 100;
const pingMs = 1000;
/** A client that has answered no ping for so long is gone. */
const silentMsMax = 60_000;
const delayMsMax = 5000;
const historyNs = 3_600_000_000_000n;

export function openTail(options: TailOptions): Tail {
  const server = new WebSocketServer({ noServer: true, maxPayload: 64 * 1024 });
  const open = new Map<WebSocket, { readonly request: IncomingMessage; readonly tenant: TenantId }>();
  const refuse = (socket: Duplex, status: number, message: string): void => {
    const head = `HTTP/1.1 ${status} ${STATUS_CODES[status]}`;
    const lines = [
      head,
      'Content-Type: text/plain; charset=utf-8',
      `Content-Length: ${Buffer.byteLength(message)}`,
    ];
    socket.end(`${[...lines, 'Connection: close'].join('\r\n')}\r\n\r\n${message}`);
  };
  const begin = async (request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> => {
    const deployment = await options.context(request);
    if (deployment === undefined) return refuse(socket, 401, 'give a key');
    const { tenant } = deployment.logs;
    const asked = parametersOf(request, options);
    const ofTenant = [...open.values()].filter((other) => other.tenant === tenant).length;
    const max = open.size >= tailsMax ? 'tailsMax' : ofTenant >= tailsPerTenantMax ? 'tailsPerTenantMax' : '';
    if (max !== '') {
      const count = max === 'tailsMax' ? tailsMax : tailsPerTenantMax;
      return refuse(socket, 429, `max concurrent tail requests limit exceeded, limit: ${count} (${max})`);
    }
    server.handleUpgrade(request, socket, head, (client) => {
      open.set(client, { request, tenant });
      client.once('close', () => open.delete(client));
      follow(client, asked, deployment, options).catch((error: unknown) => {
        options.logger.warn('a tail ended', { error: messageOf(error) });
        client.close(1011, messageOf(error).slice(0, 120));
      });
    });
  };
  return {
    upgrade: (request, socket, head) => {
      socket.on('error', () => socket.destroy());
      begin(request, socket, head).catch((error: unknown) => {
        const known = error instanceof LogqlError;
        if (!known) options.logger.error('tail failed', { error });
        refuse(socket, known ? 400 : 500, messageOf(error));
      });
    },
    endRefused: async () => {
      for (const [client, { request }] of open)
        if ((await options.context(request)) === undefined) client.close(1008, 'the key no longer counts');
    },
    [Symbol.asyncDispose]: async () => {
      for (const client of server.clients) client.terminate();
      server.close();
    },
  };
}

interface Asked {
  readonly expr: LogExpr;
  readonly limit: number;
  readonly startNs: bigint;
  readonly delayMs: number;
}

function parametersOf(request: IncomingMessage, { clock, limits }: TailOptions): Asked {
  const { searchParams } = new URL(request.url ?? '/', 'http://localhost');
  const parameters = {
    text: (name: string) => searchParams.get(name) ?? '',
    all: (name: string) => searchParams.getAll(name),
  };
  const delay = durationParameter({ ...parameters, text: (name) => parameters.text(name) }, 'delay_for') ?? 0;
  const delayMs = delay / 1e6;
  if (delayMs > delayMsMax) throw badParameter(`delay_for can't be greater than ${delayMsMax / 1000}`);
  const limit = Math.min(countParameter(parameters, 'limit', defaultEntries), limits.entriesMax);
  const startNs = timeParameter(parameters, 'start') ?? nowNs(clock) - historyNs;
  const expr = parseLogExpr(parameters.text('query'));
  // What is wrong with its stages is said now.
  planPipeline(expr);
  return { expr, limit, startNs, delayMs };
}

async function follow(
  client: WebSocket,
  { expr, limit, startNs, delayMs }: Asked,
  { logs, live }: TailDeployment,
  options: TailOptions,
): Promise<void> {
  const { limits, clock } = options;
  const closed = new AbortController();
  const waiting = createTailQueue(delayMs);
  const select = selection(expr);
  const flush = (): void => {
    while (client.bufferedAmount <= bufferedBytesMax) {
      const frame = waiting.take(clock.monotonicMs());
      if (frame === undefined) return;
      client.send(frameText(frame));
    }
  };
  let timer: NodeJS.Timeout | undefined;
  let heardMs = clock.monotonicMs();
  client.on('pong', () => {
    heardMs = clock.monotonicMs();
  });
  const pings = setInterval(() => {
    if (clock.monotonicMs() - heardMs > silentMsMax) client.terminate();
    else client.ping();
  }, pingMs);
  client.on('error', () => client.terminate());
  client.on('close', () => {
    closed.abort();
    clearInterval(timer);
    clearInterval(pings);
  });
  // Before the past is read, so that nothing falls between; what is in both is known by its text.
  let past: Set<string> | undefined;
  const early = createTailQueue(0);
  const end = await live.subscribe(expr.matchers, (batch) => {
    if (past === undefined) early.add(select(batch), 0);
    else waiting.add(notIn(past, select(batch)), clock.monotonicMs());
  });
  if (closed.signal.aborted) return end();
  closed.signal.addEventListener('abort', end, { once: true });
  const log = {
    fromNs: startNs,
    toNs: nowNs(clock) + 1n,
    limit,
    direction: 'backward' as const,
    intervalNs: 0,
  };
  const { data } = await runQuery(
    { kind: 'log', expr, log },
    { source: logs, evaluator: logs.evaluator, limits, clock, signal: closed.signal },
  );
  const found = data.type === 'streams' ? data.streams.flatMap(entriesOf) : [];
  past = new Set(found.map(textOf));
  waiting.add(found, clock.monotonicMs());
  for (let frame = early.take(0); frame !== undefined; frame = early.take(0)) {
    waiting.add(notIn(past, frame.lines), clock.monotonicMs());
    waiting.drop(frame.dropped);
  }
  if (!closed.signal.aborted) timer = setInterval(flush, flushMs);
}

const textOf = ({ timestampNs, line, labels }: TailLine): string =>
  `${timestampNs} ${labelsText(labels)} ${line}`;

function* notIn(past: ReadonlySet<string>, lines: Iterable<TailLine>): Generator<TailLine> {
  for (const line of lines) if (!past.has(textOf(line))) yield line;
}

function entriesOf({ timesNs, lines, ...parts }: LogStream): readonly TailLine[] {
  const labels = merged(parts);
  return lines.map((line, index) => ({ timestampNs: timesNs[index] ?? 0n, line, labels }));
}

const merged = ({ labels, metadata, parsed }: Omit<LogStream, 'timesNs' | 'lines'>): SeriesLabels =>
  [...labels, ...metadata, ...parsed].sort(([a], [b]) => compareText(a, b));

/** The lines of a batch that the query wants, as it makes them. */
function selection({ matchers, stages }: LogExpr): (batch: LineBatch) => Generator<TailLine> {
  const pipeline = compilePipeline(stages);
  const tests = matchers.map((matcher) => ({ label: matcher.label, test: valueTest(matcher) }));
  const wanted = new WeakMap<Stream, boolean>();
  const read = metadataReader();
  const isWanted = (stream: Stream): boolean => {
    const known =
      wanted.get(stream) ?? tests.every(({ label, test }) => test(stream.labels.get(label) ?? ''));
    wanted.set(stream, known);
    return known;
  };
  return function* (batch) {
    for (let index = 0; index < batch.rows; index++) {
      const stream = batch.stream(index);
      if (!isWanted(stream)) continue;
      const labels = emptyLabels();
      resetLabels(labels, stream.labels, read(stream.labels, batch.metadata[index] ?? null));
      const row = { line: batch.lines[index] ?? '', timestampNs: batch.timestampNs[index] ?? 0n, labels };
      if (!pipeline(row)) continue;
      const { stream: own, metadata, parsed } = categories(labels);
      const { timestampNs, line } = row;
      yield { timestampNs, line, labels: merged({ labels: own, metadata, parsed }) };
    }
  };
}

function frameText({ lines, dropped }: TailFrame): string {
  const streams = [...Map.groupBy(lines, ({ labels }) => labelsText(labels))].map(
    ([labels, own]) =>
      `{"stream":${labels},"values":[${own.map(({ timestampNs, line }) => `["${timestampNs}",${JSON.stringify(line)}]`).join(',')}]}`,
  );
  const lost = dropped.map(
    ({ labels, timestampNs }) => `{"labels":${labelsText(labels)},"timestamp":"${timestampNs}"}`,
  );
  return `{"streams":[${streams.join(',')}],"dropped_entries":[${lost.join(',')}]}`;
}
