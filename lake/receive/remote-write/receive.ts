import { FirnError } from '../../base/errors.ts';
import type { MetricsBatch } from '../../model/batch.ts';
import type { SeriesCache } from '../series-cache.ts';
import { decodeSnappy } from '../snappy.ts';
import { decodeWriteRequest } from './decode.ts';
import type { RemoteWriteLimits } from './limits.ts';

/** Header values as sent; undefined where absent. */
export interface RemoteWriteHeaders {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
}

export type RemoteWriteResult =
  | {
      readonly ok: true;
      /** May have no rows and no metadata at all. */
      readonly batch: MetricsBatch;
      /** Exemplars that came along; they are not kept. */
      readonly exemplars: number;
    }
  | { readonly ok: false; readonly status: 400 | 413 | 415; readonly message: string };

/**
 * One Prometheus remote write 1.0 request: the whole of it as columns, or the answer that refuses it. After the batch
 * is on disk, call `cache.markDurable(batch.series)`.
 */
export function receiveRemoteWrite(
  headers: RemoteWriteHeaders,
  body: Uint8Array,
  context: { readonly cache: SeriesCache; readonly limits: RemoteWriteLimits },
): RemoteWriteResult {
  const { cache, limits } = context;
  const unaccepted = refuseType(headers.contentType) ?? refuseEncoding(headers.contentEncoding);
  if (unaccepted !== undefined) return { ok: false, status: 415, message: unaccepted };
  if (body.length > limits.bodyBytesMax)
    return { ok: false, status: 413, message: bodyTooLarge(limits.bodyBytesMax) };
  try {
    const bytes = decodeSnappy(body, limits.decodedBytesMax);
    return { ok: true, ...decodeWriteRequest(bytes, cache, limits) };
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    const status = error.code === 'limit' && error.subject === 'decodedBytesMax' ? 413 : 400;
    const message = error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
    return { ok: false, status, message };
  }
}

export const bodyTooLarge = (limit: number): string =>
  `the body is larger than ${limit} bytes (bodyBytesMax): send smaller requests`;

/** Why this content type is not accepted; without one, 1.0 is meant. */
function refuseType(contentType: string | undefined): string | undefined {
  if (contentType === undefined || contentType === '') return undefined;
  const [media = '', ...parameters] = contentType.split(';').map((part) => part.trim());
  if (media.toLowerCase() !== 'application/x-protobuf')
    return `content type ${JSON.stringify(contentType)} is not accepted: send application/x-protobuf`;
  const proto = parameters
    .map((parameter) => /^proto\s*=\s*"?([^"]*)"?$/i.exec(parameter)?.[1])
    .find((value) => value !== undefined);
  if (proto === undefined || proto === 'prometheus.WriteRequest') return undefined;
  if (proto === 'io.prometheus.write.v2.Request')
    return 'remote write 2.0 (io.prometheus.write.v2.Request) is not accepted: send 1.0 (prometheus.WriteRequest)';
  return `protobuf message ${JSON.stringify(proto)} is not known: send prometheus.WriteRequest`;
}

function refuseEncoding(contentEncoding: string | undefined): string | undefined {
  const encoding = (contentEncoding ?? '').trim().toLowerCase();
  if (encoding === '' || encoding === 'snappy') return undefined;
  return `content encoding ${JSON.stringify(contentEncoding)} is not accepted: send snappy`;
}
