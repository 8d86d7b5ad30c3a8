import { Hono } from 'hono';
import { FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import type { RemoteWriteLimits } from '../../receive/remote-write/limits.ts';
import { bodyTooLarge, receiveRemoteWrite } from '../../receive/remote-write/receive.ts';
import type { SeriesCache } from '../../receive/series-cache.ts';
import { readBody } from './read-body.ts';

export interface RemoteWriteOptions {
  /** Resolves when the batch is on disk. */
  readonly append: (batch: Batch) => Promise<void>;
  readonly cache: SeriesCache;
  readonly limits: RemoteWriteLimits;
  /** Told about each answer, for counting. */
  readonly onAnswer?: (answer: RemoteWriteAnswer) => void;
}

export interface RemoteWriteAnswer {
  readonly status: 204 | 400 | 413 | 415 | 500 | 503;
  /** Samples stored; exemplars that came along and were not kept. */
  readonly samples: number;
  readonly exemplars: number;
  /** Size of the body as sent; 0 when it was not read to its end. */
  readonly bodyBytes: number;
  /** Why it was refused, for the sender. */
  readonly message?: string;
}

const retryAfterSeconds = 1;

/** POST /api/v1/write: Prometheus remote write 1.0. 204 means on disk. */
export function remoteWriteRoutes(options: RemoteWriteOptions): Hono {
  const app = new Hono();
  app.post('/api/v1/write', async (context) => {
    const answer = await receive(context.req.raw, options);
    options.onAnswer?.(answer);
    if (answer.status === 204) return context.body(null, 204);
    if (answer.status === 503) context.header('Retry-After', String(retryAfterSeconds));
    return context.text(`${answer.message}\n`, answer.status);
  });
  return app;
}

async function receive(request: Request, options: RemoteWriteOptions): Promise<RemoteWriteAnswer> {
  const { cache, limits } = options;
  const body = await readBody(request, limits.bodyBytesMax);
  const bodyBytes = typeof body === 'string' ? 0 : body.byteLength;
  const refused = (status: 400 | 413 | 415 | 500 | 503, message: string): RemoteWriteAnswer => ({
    ...{ status, message, samples: 0, exemplars: 0, bodyBytes },
  });
  if (body === 'too-large') return refused(413, bodyTooLarge(limits.bodyBytesMax));
  if (body === 'cut-off') return refused(400, 'the body ends too early');
  const headers = {
    contentType: request.headers.get('content-type') ?? undefined,
    contentEncoding: request.headers.get('content-encoding') ?? undefined,
  };
  const result = receiveRemoteWrite(headers, body, { cache, limits });
  if (!result.ok) return refused(result.status, result.message);
  const { batch, exemplars } = result;
  try {
    if (batch.rows > 0 || batch.metadata.length > 0) await options.append(batch);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    // Also when the queue is full: 503 and not 429, which Prometheus by default answers by dropping the samples.
    const later = error.code === 'limit' || error.code === 'unavailable';
    return refused(later ? 503 : 500, error.message);
  }
  cache.markDurable(batch.series);
  return { status: 204, samples: batch.rows, exemplars, bodyBytes };
}
