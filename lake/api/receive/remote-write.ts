import type { OutgoingHttpHeaders } from 'node:http';
import { FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { createMetadataCache, type MetadataCache } from '../../receive/metadata-cache.ts';
import { recycleMetrics } from '../../receive/metrics-builder.ts';
import type { RemoteWriteLimits } from '../../receive/remote-write/limits.ts';
import {
  bodyTooLarge,
  messageOfType,
  type RemoteWriteHeaders,
  receiveRemoteWrite,
} from '../../receive/remote-write/receive.ts';
import type { DirectHandler } from '../http-server.ts';
import { type AppendOptions, isForLater, refusedAdmission, retryAfterSeconds } from './append.ts';
import { readMessage } from './read-message.ts';

export interface RemoteWriteOptions extends AppendOptions {
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
  /** Seconds after which it should come again; absent: `retryAfterSeconds`. */
  readonly retryAfterSeconds?: number;
}

/** How long a sender whose request is not read to its end may take to read the answer. */
const lingerMs = 1000;

/** POST /api/v1/write: Prometheus remote write 1.0 and 2.0. 204 means on disk. */
export function remoteWriteHandler(options: RemoteWriteOptions): DirectHandler {
  const metadata = createMetadataCache();
  return async (request, response) => {
    const { 'content-type': contentType, 'content-encoding': contentEncoding } = request.headers;
    const body = await readMessage(request, options.limits.bodyBytesMax);
    const answer = await receive({ contentType, contentEncoding }, body, options, metadata);
    options.onAnswer?.(answer);
    const headers = headersOf(answer, contentType);
    if (answer.status === 204) response.writeHead(204, headers).end();
    else response.writeHead(answer.status, headers).end(`${answer.message}\n`);
    if (body === 'too-large') setTimeout(() => request.destroy(), lingerMs).unref();
  };
}

function headersOf(answer: RemoteWriteAnswer, contentType: string | undefined): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  if (answer.status !== 204) headers['Content-Type'] = 'text/plain; charset=UTF-8';
  if (answer.status === 413) headers.Connection = 'close';
  if (answer.status === 503 || answer.status === 429)
    headers['Retry-After'] = String(answer.retryAfterSeconds ?? retryAfterSeconds);
  // A sender of 2.0 takes an answer without the counts for one of a receiver that only knows 1.0.
  if (messageOfType(contentType).version !== 2) return headers;
  headers['X-Prometheus-Remote-Write-Samples-Written'] = String(answer.samples);
  headers['X-Prometheus-Remote-Write-Histograms-Written'] = String(answer.histograms);
  headers['X-Prometheus-Remote-Write-Exemplars-Written'] = String(answer.exemplars);
  return headers;
}

async function receive(
  headers: RemoteWriteHeaders,
  body: Uint8Array | 'too-large' | 'cut-off',
  options: RemoteWriteOptions,
  described: MetadataCache,
): Promise<RemoteWriteAnswer> {
  const { cache, limits, append } = options;
  const bodyBytes = typeof body === 'string' ? 0 : body.byteLength;
  const refused = (status: RemoteWriteAnswer['status'], message: string): RemoteWriteAnswer => ({
    ...{ status, message, samples: 0, histograms: 0, exemplars: 0, bodyBytes },
  });
  if (body === 'too-large') return refused(413, bodyTooLarge(limits.bodyBytesMax));
  if (body === 'cut-off') return refused(400, 'the body ends too early');
  const later = refusedAdmission(options, bodyBytes);
  if (later) return { ...refused(429, later.message), ...later };
  const result = receiveRemoteWrite(headers, body, { cache, limits });
  if (!result.ok) return refused(result.status, result.message);
  const { exemplars, histograms, refusal } = result;
  const metrics = { ...result.metrics, metadata: described.news(result.metrics.metadata) };
  const batches: Batch[] = [];
  if (metrics.rows > 0 || metrics.metadata.length > 0) batches.push(metrics);
  if (exemplars.rows > 0) batches.push(exemplars);
  try {
    if (batches.length > 0) await append(...batches);
    recycleMetrics(result.metrics);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    // Also when the queue is full: 503 and not 429, which Prometheus by default answers by dropping the samples.
    return refused(isForLater(error) ? 503 : 500, error.message);
  }
  cache.markDurable(metrics.series);
  cache.markDurable(exemplars.series);
  described.markDurable(metrics.metadata);
  const written = { samples: metrics.rows - histograms, histograms, exemplars: exemplars.rows, bodyBytes };
  return refusal === undefined ? { status: 204, ...written } : { ...refusal, ...written };
}
