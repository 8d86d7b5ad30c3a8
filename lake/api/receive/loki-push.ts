import { type Context, Hono } from 'hono';
import { FirnError } from '../../base/errors.ts';
import { type LogStreams, logStreams, serviceNameLabels } from '../../receive/logs/streams.ts';
import type { LokiPushLimits } from '../../receive/loki-push/limits.ts';
import { lokiPushFormat, receiveLokiPush } from '../../receive/loki-push/receive.ts';
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

export interface LokiPushOptions extends AppendOptions {
  readonly limits: LokiPushLimits;
  /** Labels that service_name is taken from where a stream has none; none: it is not added. */
  readonly serviceNameFrom?: readonly string[];
  /** False: lines get no detected_level. */
  readonly levels?: boolean;
  /** Told about each answer, for counting. */
  readonly onAnswer?: (answer: ReceiverAnswer) => void;
}

interface Answer extends ReceiverAnswer {
  readonly status: 204 | 400 | 413 | 429 | 500 | 503;
  readonly message?: string;
}

/** POST /loki/api/v1/push, as Loki answers it. 204 means on disk. */
export function lokiPushRoutes(options: LokiPushOptions): Hono {
  const { cache, serviceNameFrom = serviceNameLabels, levels = true } = options;
  const streams = logStreams({ cache, serviceNameFrom, levels });
  const app = new Hono();
  app.post('/loki/api/v1/push', async (context) => {
    const answer = await receive(context, options, streams);
    options.onAnswer?.(answer);
    if (answer.status === 204) return context.body(null, 204);
    if (answer.status === 429 || answer.status === 503)
      context.header('Retry-After', String(answer.retryAfterSeconds ?? retryAfterSeconds));
    return context.text(`${answer.message}\n`, answer.status);
  });
  return app;
}

async function receive(context: Context, options: LokiPushOptions, streams: LogStreams): Promise<Answer> {
  const { limits } = options;
  const request = context.req.raw;
  const body = await readBody(context, limits.bodyBytesMax);
  const bodyBytes = typeof body === 'string' ? 0 : body.byteLength;
  const refused = (status: Answer['status'], message: string): Answer => ({
    ...{ status, message, rows: 0, bodyBytes },
  });
  if (body === 'too-large')
    return refused(413, `the body is larger than ${limits.bodyBytesMax} bytes (bodyBytesMax)`);
  if (body === 'cut-off') return refused(400, 'the body ends too early');
  const later = refusedAdmission(options, bodyBytes);
  if (later) return { ...refused(429, later.message), ...later };
  try {
    const format = lokiPushFormat(request.headers.get('content-type') ?? undefined);
    const encoding = request.headers.get('content-encoding') ?? '';
    const plain = await decoded(body, encoding, limits);
    const { batch, rejected } = receiveLokiPush(format, plain, streams, limits);
    const error = await appendBatches(options, [batch]);
    if (error) return refused(!isForLater(error) ? 500 : error.code === 'limit' ? 429 : 503, error.message);
    if (rejected.count === 0) return { status: 204, rows: batch.rows, bodyBytes };
    // After a 429 the whole request comes again: never where a part of it is stored.
    const status = batch.rows === 0 ? 429 : 400;
    return {
      ...refused(status, `${rejected.messages[0]}: ${rejected.count} lines refused`),
      rows: batch.rows,
    };
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    const tooLarge = error.code === 'limit' && error.subject.startsWith('decoded');
    return refused(tooLarge ? 413 : 400, error.message);
  }
}

/** Senders may name the snappy of a protobuf body, which is always there, as an encoding. */
async function decoded(body: Uint8Array, encoding: string, limits: LokiPushLimits): Promise<Uint8Array> {
  if (encoding === '' || encoding === 'snappy') return body;
  if (encoding === 'gzip' || encoding === 'deflate') return decompress(body, encoding, limits);
  throw new FirnError({
    code: 'invalid',
    operation: 'receive loki push',
    subject: 'content-encoding',
    message: `Content-Encoding ${JSON.stringify(encoding)} not supported: send none, gzip, deflate or snappy`,
  });
}
