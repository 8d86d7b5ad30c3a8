import { isUtf8 } from 'node:buffer';
import { type Context, Hono } from 'hono';
import type { Clock } from '../../base/clock.ts';
import { FirnError } from '../../base/errors.ts';
import { LineError } from '../../receive/influx/parse-line.ts';
import {
  type InfluxLimits,
  type InfluxResult,
  precisions,
  readInfluxLines,
} from '../../receive/influx/receive.ts';
import { deviceStreams, type LogStreams } from '../../receive/logs/streams.ts';
import type { OwnTime } from '../../receive/mqtt/device-time.ts';
import {
  type AppendOptions,
  appendBatches,
  isForLater,
  type ReceiverAnswer,
  refusedAdmission,
  retryAfterSeconds,
} from './append.ts';
import { decompress } from './decompress.ts';
import { readBody } from './read-body.ts';

export interface InfluxOptions extends AppendOptions {
  readonly limits: InfluxLimits;
  readonly clock: Clock;
  readonly ownTime: () => OwnTime;
  /** Told about each write, for counting. */
  readonly onAnswer?: (answer: InfluxAnswer) => void;
}

interface InfluxAnswer extends ReceiverAnswer {
  readonly status: 204 | 400 | 413 | 415 | 429 | 500 | 503;
  readonly message?: string;
}

type Status = InfluxAnswer['status'];

/** What clients ask for before they write; 1.8 is the last that has both interfaces. */
const version = '1.8.10';
/** InfluxDB's words for what happened (its API's error codes). */
const codes: Readonly<Record<Status, string>> = {
  204: '',
  400: 'invalid',
  413: 'request too large',
  415: 'unsupported media type',
  429: 'too many requests',
  500: 'internal error',
  503: 'unavailable',
};

/**
 * InfluxDB's write interfaces, as Telegraf and the client libraries use them: POST /api/v2/write (2.x) and /write (1.x),
 * and what they ask before that. 204 means on disk. Databases and buckets are not kept apart: they become a label.
 */
export function influxRoutes(options: InfluxOptions): Hono {
  const app = new Hono();
  const streams = deviceStreams(options.cache);
  const write = (v2: boolean) => async (context: Context) => {
    const answer = await receive(context, v2, options, streams);
    options.onAnswer?.(answer);
    const { status, message = '' } = answer;
    context.header('X-Influxdb-Version', version);
    if (status === 204) return context.body(null, 204);
    if (status === 429 || status === 503)
      context.header('Retry-After', String(answer.retryAfterSeconds ?? retryAfterSeconds));
    context.header('X-Influxdb-Error', message.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 1000));
    return context.json(v2 ? { code: codes[status], message } : { error: message }, status);
  };
  app.post('/api/v2/write', write(true));
  app.post('/write', write(false));
  app.on(['GET', 'HEAD'], '/ping', (context) => {
    context.header('X-Influxdb-Version', version);
    context.header('X-Influxdb-Build', 'OSS');
    return context.req.query('verbose') === 'true' ? context.json({ version }) : context.body(null, 204);
  });
  app.get('/health', (context) =>
    context.json({ name: 'influxdb', message: 'ready for writes', status: 'pass', checks: [], version }),
  );
  app.on(['GET', 'POST'], '/query', async (context) => {
    const form = context.req.method === 'POST' ? await context.req.parseBody() : {};
    const statement = String(context.req.query('q') ?? form.q ?? '');
    const result = answerStatement(statement);
    if (result !== undefined) return context.json({ results: [{ statement_id: 0, ...result }] });
    const error = `this is a gateway's write interface: only CREATE DATABASE and SHOW DATABASES are answered, not ${JSON.stringify(statement.slice(0, 100))}; ask in PromQL or SQL`;
    return context.json({ error }, 400);
  });
  return app;
}

function answerStatement(statement: string): object | undefined {
  if (/^\s*CREATE\s+DATABASE\s+\S/i.test(statement)) return {};
  if (/^\s*SHOW\s+DATABASES\s*;?\s*$/i.test(statement))
    return { series: [{ name: 'databases', columns: ['name'], values: [['firn']] }] };
  return undefined;
}

async function receive(
  context: Context,
  v2: boolean,
  options: InfluxOptions,
  streams: LogStreams,
): Promise<InfluxAnswer> {
  const request = context.req.raw;
  const { cache, limits, clock } = options;
  const query = new URL(request.url).searchParams;
  const body = await readBody(context, limits.bodyBytesMax);
  const bodyBytes = typeof body === 'string' ? 0 : body.byteLength;
  const refused = (status: Status, message: string, rows = 0): InfluxAnswer => ({
    ...{ status, message, rows, bodyBytes },
  });
  if (body === 'too-large')
    return refused(413, `the body is larger than ${limits.bodyBytesMax} bytes (bodyBytesMax)`);
  if (body === 'cut-off') return refused(400, 'the body ends too early');
  const later = refusedAdmission(options, bodyBytes);
  if (later) return { ...refused(429, later.message), ...later };
  const precision = query.get('precision') || 'ns';
  const unitNs = Object.hasOwn(precisions, precision) ? precisions[precision] : undefined;
  if (unitNs === undefined)
    return refused(400, `precision ${JSON.stringify(precision)} is not known: use ns, us, ms or s`);
  let result: InfluxResult;
  try {
    const encoding = request.headers.get('content-encoding')?.trim().toLowerCase() ?? '';
    if (!['', 'identity', 'gzip'].includes(encoding))
      return refused(415, `content encoding ${JSON.stringify(encoding)} is not accepted: send gzip, or none`);
    const bytes = encoding === 'gzip' ? await decompress(body, 'gzip', limits) : body;
    if (!isUtf8(bytes)) return refused(400, 'the body is not UTF-8 text');
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
    const database = query.get(v2 ? 'bucket' : 'db') ?? '';
    const receivedUs = Math.round(clock.nowMs() * 1000);
    result = readInfluxLines(
      text,
      { unitNs, database, receivedUs },
      { cache, streams, limits, ownTime: options.ownTime },
    );
  } catch (error) {
    if (error instanceof LineError)
      return refused(400, `unable to parse ${error.message}; nothing is stored`);
    if (error instanceof FirnError) return refused(statusOf(error), error.message);
    throw error;
  }
  const error = await appendBatches(options, [result.metrics, result.logs]);
  if (error !== undefined) return refused(isForLater(error) ? 503 : 500, error.message);
  const rows = result.metrics.rows + result.logs.rows;
  // InfluxDB's own way of refusing series beyond a limit; the rest is stored, so it must not be sent again.
  const { count, messages } = result.rejected;
  if (count > 0) return refused(400, `partial write: ${messages[0]} dropped=${count}`, rows);
  return { status: 204, rows, bodyBytes };
}

const statusOf = ({ code }: FirnError): Status => (code === 'limit' ? 413 : 400);
