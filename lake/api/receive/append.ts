import { FirnError, retryAfterSecondsOf } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { recycleLogs } from '../../receive/logs-builder.ts';
import type { SeriesCache } from '../../receive/series-cache.ts';

export interface AppendOptions {
  /** Resolves when the batches are on disk, all of them or none. It does not read them after that. */
  readonly append: (...batches: readonly Batch[]) => Promise<void>;
  readonly cache: SeriesCache;
  /** Asked before a body of so many bytes is decoded; throws FirnError `limit` when its sender is to come again later. */
  readonly admit?: (bodyBytes: number) => void;
}

/** What a receiver tells of one request, for counting. */
export interface ReceiverAnswer {
  readonly status: number;
  /** Rows stored. */
  readonly rows: number;
  /** Size of the body as sent; 0 when it was not read to its end. */
  readonly bodyBytes: number;
  /** Seconds after which its sender should come again; absent: `retryAfterSeconds`. */
  readonly retryAfterSeconds?: number;
}

/** Seconds after which a sender should come back that found no room. */
export const retryAfterSeconds = 1;

/** Stores what has rows. Returns the error instead when it is one that the sender should be told. */
export async function appendBatches(
  { append, cache }: AppendOptions,
  batches: readonly Batch[],
): Promise<FirnError | undefined> {
  const filled = batches.filter(
    (batch) => batch.rows > 0 || (batch.signal === 'metrics' && batch.metadata.length > 0),
  );
  if (filled.length === 0) return undefined;
  try {
    await append(...filled);
  } catch (error) {
    if (error instanceof FirnError) return error;
    throw error;
  } finally {
    for (const batch of batches) if (batch.signal === 'logs') recycleLogs(batch);
  }
  for (const { series } of filled) cache.markDurable(series);
  return undefined;
}

/** Of a body that `admit` does not let in: why not, and the seconds after which its sender should come again. */
export function refusedAdmission(
  { admit }: Pick<AppendOptions, 'admit'>,
  bodyBytes: number,
): { readonly message: string; readonly retryAfterSeconds: number } | undefined {
  try {
    admit?.(bodyBytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof FirnError) || error.retryAfterMs === undefined) throw error;
    return { message: error.message, retryAfterSeconds: retryAfterSecondsOf(error) };
  }
}

/** Whether the same request may succeed later: there was no room, or the disk refused. */
export const isForLater = ({ code }: FirnError): boolean => code === 'limit' || code === 'unavailable';
