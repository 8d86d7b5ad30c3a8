import type { LogsBatch } from '../../model/batch.ts';
import type { LogStreams } from '../logs/streams.ts';
import { noneRejected, type Rejected } from '../rejected.ts';
import { decodeSnappy } from '../snappy.ts';
import { decodeJsonPush } from './decode-json.ts';
import { decodePushRequest } from './decode-protobuf.ts';
import { invalid } from './errors.ts';
import type { LokiPushLimits } from './limits.ts';

export type LokiPushFormat = 'json' | 'snappy';

/**
 * The format that a content type means: JSON where it says so, else protobuf in a snappy block, as Loki does. Throws
 * FirnError `invalid` for a header that is none.
 */
export function lokiPushFormat(contentType: string | undefined): LokiPushFormat {
  const [media = '', ...parameters] = (contentType ?? '').split(';').map((part) => part.trim());
  const damaged = parameters.find((parameter) => !/^[^\s=]+=("[^"]*"|[^\s"]+)$/.test(parameter));
  if (damaged !== undefined)
    throw invalid(`content type ${JSON.stringify(contentType)}: invalid media parameter`);
  return media.toLowerCase() === 'application/json' ? 'json' : 'snappy';
}

export interface LokiPush {
  readonly batch: LogsBatch;
  /** Lines of streams for which there was no room. */
  readonly rejected: Rejected;
}

/** One push request, whole but for what the guard refused. Throws FirnError `invalid` or `limit`. */
export function receiveLokiPush(
  format: LokiPushFormat,
  body: Uint8Array,
  streams: LogStreams,
  limits: LokiPushLimits,
): LokiPush {
  const rejected = noneRejected();
  const batch =
    format === 'json'
      ? decodeJsonPush(body, streams, limits, rejected)
      : decodePushRequest(decodeSnappy(body, limits.decodedBytesMax), streams, limits, rejected);
  return { batch, rejected };
}
