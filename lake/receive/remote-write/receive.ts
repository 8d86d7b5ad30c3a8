import { FirnError } from '../../base/errors.ts';
import type { ExemplarsBatch, MetricsBatch } from '../../model/batch.ts';
import type { SeriesCache } from '../series-cache.ts';
import { decodeSnappy } from '../snappy.ts';
import { decodeV1 } from './decode-v1.ts';
import { decodeV2 } from './decode-v2.ts';
import { createDraft, type Refusal, type WriteDraft } from './draft.ts';
import type { RemoteWriteLimits } from './limits.ts';

/** Header values as sent; undefined where absent. */
export interface RemoteWriteHeaders {
  readonly contentType: string | undefined;
  readonly contentEncoding: string | undefined;
}

export type RemoteWriteResult =
  | {
      readonly ok: true;
      /** May have no rows and no metadata at all; they are to be stored together. */
      readonly metrics: MetricsBatch;
      readonly exemplars: ExemplarsBatch;
      /** How many rows of `metrics` are native histograms. */
      readonly histograms: number;
      /** What is not in the batches, though the request could be read. The sender is told so after they are stored. */
      readonly refusal: Refusal | undefined;
    }
  | { readonly ok: false; readonly status: 400 | 413 | 415; readonly message: string };

/**
 * One Prometheus remote write request, 1.0 or 2.0 by its content type: what of it is right as columns, or the answer that
 * refuses it. After the batches are on disk, call `cache.markDurable` with their series.
 */
export function receiveRemoteWrite(
  headers: RemoteWriteHeaders,
  body: Uint8Array,
  context: { readonly cache: SeriesCache; readonly limits: RemoteWriteLimits },
): RemoteWriteResult {
  const { cache, limits } = context;
  const message = messageOfType(headers.contentType);
  const unaccepted = message.unaccepted ?? refuseEncoding(headers.contentEncoding);
  if (unaccepted !== undefined) return { ok: false, status: 415, message: unaccepted };
  if (body.length > limits.bodyBytesMax)
    return { ok: false, status: 413, message: bodyTooLarge(limits.bodyBytesMax) };
  try {
    const bytes = decodeSnappy(body, limits.decodedBytesMax);
    const draft = createDraft(cache, limits, bytes.length);
    if (message.version === 2) decodeV2(bytes, draft);
    else decodeV1(bytes, draft);
    return resultOf(draft);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    const status = error.code === 'unsupported' ? 415 : error.subject === 'decodedBytesMax' ? 413 : 400;
    const text = error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
    return { ok: false, status, message: text };
  }
}

function resultOf(draft: WriteDraft): RemoteWriteResult {
  const { histograms, refusal } = draft;
  return {
    ok: true,
    metrics: draft.metrics.finish(),
    exemplars: draft.exemplars.finish(),
    histograms,
    refusal,
  };
}

export const bodyTooLarge = (limit: number): string =>
  `the body is larger than ${limit} bytes (bodyBytesMax): send smaller requests`;

interface MessageType {
  readonly version: 1 | 2;
  /** Why this content type is not accepted. */
  readonly unaccepted?: string;
}

/** Without a content type, or one that does not name the message, 1.0 is meant. */
export function messageOfType(contentType: string | undefined): MessageType {
  if (contentType === undefined || contentType === '') return { version: 1 };
  const [media = '', ...parameters] = contentType.split(';').map((part) => part.trim());
  if (media.toLowerCase() !== 'application/x-protobuf')
    return unaccepted(
      `content type ${JSON.stringify(contentType)} is not accepted: send application/x-protobuf`,
    );
  const proto = parameters
    .map((parameter) => /^proto\s*=\s*"?([^"]*)"?$/i.exec(parameter)?.[1])
    .find((value) => value !== undefined);
  if (proto === undefined || proto === 'prometheus.WriteRequest') return { version: 1 };
  if (proto === 'io.prometheus.write.v2.Request') return { version: 2 };
  return unaccepted(
    `protobuf message ${JSON.stringify(proto)} is not known: send prometheus.WriteRequest or io.prometheus.write.v2.Request`,
  );
}

const unaccepted = (why: string): MessageType => ({ version: 1, unaccepted: why });

function refuseEncoding(contentEncoding: string | undefined): string | undefined {
  const encoding = (contentEncoding ?? '').trim().toLowerCase();
  if (encoding === '' || encoding === 'snappy') return undefined;
  return `content encoding ${JSON.stringify(contentEncoding)} is not accepted: send snappy`;
}
