import { FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { recycleLogs } from '../../receive/logs-builder.ts';
import type { SeriesCache } from '../../receive/series-cache.ts';

export interface AppendOptions {
  /** Resolves when the batches are on disk, all of them or none. It does not read them after that. */
  readonly append: (...batches: readonly Batch[]) => Promise<void>;
  readonly cache: SeriesCache;
}

/** What a receiver tells of one request, for counting. */
export interface ReceiverAnswer {
  readonly status: number;
  /** Rows stored. */
  readonly rows: number;
  /** Size of the body as sent; 0 when it was not read to its end. */
  readonly bodyBytes: number;
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

/** Whether the same request may succeed later: there was no room, or the disk refused. */
export const isForLater = ({ code }: FirnError): boolean => code === 'limit' || code === 'unavailable';
