import type { SpansBatch } from '../model/batch.ts';

export interface SpanRow {
  /** Nanoseconds since the Unix epoch. */
  readonly startNs: bigint;
  readonly durationNs: bigint;
  readonly service: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId: string | null;
  readonly name: string;
  readonly kind: string;
  readonly status: string;
  readonly statusMessage: string | null;
  readonly traceState: string | null;
  readonly attributesJson: string;
  readonly resourceJson: string;
  readonly scopeJson: string | null;
  readonly eventsJson: string | null;
  readonly linksJson: string | null;
}

export function spansBatch(rows: readonly SpanRow[]): SpansBatch {
  const column = <K extends keyof SpanRow>(name: K): SpanRow[K][] => rows.map((row) => row[name]);
  return {
    signal: 'spans',
    rows: rows.length,
    startNs: BigInt64Array.from(rows, ({ startNs }) => startNs),
    durationNs: BigInt64Array.from(rows, ({ durationNs }) => durationNs),
    service: column('service'),
    traceId: column('traceId'),
    spanId: column('spanId'),
    parentSpanId: column('parentSpanId'),
    name: column('name'),
    kind: column('kind'),
    status: column('status'),
    statusMessage: column('statusMessage'),
    traceState: column('traceState'),
    attributesJson: column('attributesJson'),
    resourceJson: column('resourceJson'),
    scopeJson: column('scopeJson'),
    eventsJson: column('eventsJson'),
    linksJson: column('linksJson'),
    series: [],
  };
}
