import { Hono } from 'hono';
import { FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { createMetadataCache, type MetadataCache } from '../../receive/metadata-cache.ts';
import type { RemoteWriteLimits } from '../../receive/remote-write/limits.ts';
import { bodyTooLarge, messageOfType, receiveRemoteWrite } from '../../receive/remote-write/receive.ts';
import type { SeriesCache } from '../../receive/series-cache.ts';
import { readBody } from './read-body.ts';

export interface RemoteWriteOptions {
  /** Resolves when the batches are on disk, all of them or none. */
  readonly append: (...batches: readonly Batch[]) => Promise<void>;
  readonly cache: SeriesCache;
  readonly limits: RemoteWriteLimits;
  /** Told about each answer, for counting. */
  readonly onAnswer?: (answer: RemoteWriteAnswer) => void;
}

export interface RemoteWriteAnswer {
  readonly status: 204 | 400 | 413 | 415 | 429 | 500 | 503;
  /** What is stored: samples without histograms. */
  readonly samples: number;
  readonly histograms: number;
  readonly exemplars: number;
  /** Size of the body as sent; 0 when it was not read to its end. */
  readonly bodyBytes: number;
  /** Why something was refused, for the sender. */
  readonly message?: string;
}

/** A request as any HTTP server has it. */
interface RemoteWriteRequest {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
  readonly body: Uint8Array | 'too-large' | 'cut-off';
}

type RemoteWriteReceiver = (request: RemoteWriteRequest) => Promise<RemoteWriteAnswer>;

const retryAfterSeconds = 1;

/** POST /api/v1/write: Prometheus remote write 1.0 and 2.0. 204 means on disk. */
export function remoteWriteRoutes(options: RemoteWriteOptions): Hono {
  const app = new Hono();
  const receive = remoteWriteReceiver(options);
  app.post('/api/v1/write', async (context) => {
    const { headers } = context.req.raw;
    const contentType = headers.get('content-type') ?? undefined;
    const contentEncoding = headers.get('content-encoding') ?? undefined;
    const body = await readBody(context.req.raw, options.limits.bodyBytesMax);
    const answer = await receive({ contentType, contentEncoding, body });
    for (const [name, value] of answerHeaders(answer, contentType)) context.header(name, value);
    if (answer.status === 204) return context.body(null, 204);
    return context.text(`${answer.message}\n`, answer.status);
  });
  return app;
}

/** A sender of 2.0 takes an answer without the counts for one of a receiver that only knows 1.0. */
function* answerHeaders(
  answer: RemoteWriteAnswer,
  contentType: string | undefined,
): Generator<readonly [string, string]> {
  if (answer.status === 503) yield ['Retry-After', String(retryAfterSeconds)];
  if (messageOfType(contentType).version !== 2) return;
  yield ['X-Prometheus-Remote-Write-Samples-Written', String(answer.samples)];
  yield ['X-Prometheus-Remote-Write-Histograms-Written', String(answer.histograms)];
  yield ['X-Prometheus-Remote-Write-Exemplars-Written', String(answer.exemplars)];
}

function remoteWriteReceiver(options: RemoteWriteOptions): RemoteWriteReceiver {
  const metadata = createMetadataCache();
  return async (request) => {
    const answer = await receive(request, options, metadata);
    options.onAnswer?.(answer);
    return answer;
  };
}

async function receive(
  { contentType, contentEncoding, body }: RemoteWriteRequest,
  { cache, limits, append }: RemoteWriteOptions,
  described: MetadataCache,
): Promise<RemoteWriteAnswer> {
  const bodyBytes = typeof body === 'string' ? 0 : body.byteLength;
  const refused = (status: 400 | 413 | 415 | 500 | 503, message: string): RemoteWriteAnswer => ({
    ...{ status, message, samples: 0, histograms: 0, exemplars: 0, bodyBytes },
  });
  if (body === 'too-large') return refused(413, bodyTooLarge(limits.bodyBytesMax));
  if (body === 'cut-off') return refused(400, 'the body ends too early');
  const result = receiveRemoteWrite({ contentType, contentEncoding }, body, { cache, limits });
  if (!result.ok) return refused(result.status, result.message);
  const { exemplars, histograms, refusal } = result;
  const metrics = { ...result.metrics, metadata: described.news(result.metrics.metadata) };
  const batches: Batch[] = [];
  if (metrics.rows > 0 || metrics.metadata.length > 0) batches.push(metrics);
  if (exemplars.rows > 0) batches.push(exemplars);
  try {
    if (batches.length > 0) await append(...batches);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    // Also when the queue is full: 503 and not 429, which Prometheus by default answers by dropping the samples.
    const later = error.code === 'limit' || error.code === 'unavailable';
    return refused(later ? 503 : 500, error.message);
  }
  cache.markDurable(metrics.series);
  cache.markDurable(exemplars.series);
  described.markDurable(metrics.metadata);
  const written = { samples: metrics.rows - histograms, histograms, exemplars: exemplars.rows, bodyBytes };
  return refusal === undefined ? { status: 204, ...written } : { ...refusal, ...written };
}
