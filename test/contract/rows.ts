import type { LogsBatch, MetricsBatch } from '../../lake/model/batch.ts';

export type MetricRow = readonly [series: bigint, timestampUs: bigint, valueBits: bigint];
export type LogRow = readonly [
  stream: bigint,
  timestampNs: bigint,
  line: string,
  attributes: string | null,
  severity: string | null,
];

/** Names whose order differs between UTF-8 and UTF-16, and one series without a name's usual letters. */
const names = ['up', 'a_total', '\u{1f600}', '\uffee'];

/** Made-up labels of an id. */
export function seriesOf(id: bigint): string {
  return JSON.stringify({ __name__: names[Number(id % 4n)], site: 'plant', topic: `plant/sensor-${id}` });
}

export function metricsBatch(rows: readonly MetricRow[]): MetricsBatch {
  return {
    signal: 'metrics',
    rows: rows.length,
    seriesId: BigInt64Array.from(rows, ([id]) => id),
    timestampUs: BigInt64Array.from(rows, ([, us]) => us),
    value: new Float64Array(BigInt64Array.from(rows, ([, , bits]) => bits).buffer),
    series: [...new Set(rows.map(([id]) => id))].map((id) => ({ id, labels: seriesOf(id) })),
    metadata: [],
  };
}

export function logsBatch(rows: readonly LogRow[]): LogsBatch {
  return {
    signal: 'logs',
    rows: rows.length,
    streamId: BigInt64Array.from(rows, ([id]) => id),
    timestampNs: BigInt64Array.from(rows, ([, ns]) => ns),
    line: rows.map(([, , line]) => line),
    attributes: rows.map(([, , , attributes]) => attributes),
    severity: rows.map(([, , , , severity]) => severity),
    traceId: rows.map(() => null),
    spanId: rows.map(() => 'ab'),
    series: [...new Set(rows.map(([id]) => id))].map((id) => ({ id, labels: seriesOf(id) })),
  };
}
