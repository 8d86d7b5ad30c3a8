import type { EventsBatch } from '../model/batch.ts';

export interface EventRow {
  /** Nanoseconds since the Unix epoch. */
  readonly timestampNs: bigint;
  readonly name: string;
  readonly body: string | null;
  readonly attributesJson: string;
  readonly resourceJson: string;
  readonly severity: string | null;
  readonly source: string;
  readonly traceId: string | null;
  readonly spanId: string | null;
}

export function eventsBatch(rows: readonly EventRow[]): EventsBatch {
  return {
    signal: 'events',
    rows: rows.length,
    timestampNs: BigInt64Array.from(rows, ({ timestampNs }) => timestampNs),
    name: rows.map(({ name }) => name),
    body: rows.map(({ body }) => body),
    attributesJson: rows.map(({ attributesJson }) => attributesJson),
    resourceJson: rows.map(({ resourceJson }) => resourceJson),
    severity: rows.map(({ severity }) => severity),
    source: rows.map(({ source }) => source),
    traceId: rows.map(({ traceId }) => traceId),
    spanId: rows.map(({ spanId }) => spanId),
    series: [],
  };
}
