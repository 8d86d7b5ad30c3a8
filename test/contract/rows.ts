import type {
  Batch,
  EventsBatch,
  ExemplarsBatch,
  GapsBatch,
  LogsBatch,
  MetricsBatch,
  RollupsBatch,
  SeriesEntry,
  Signal,
  SpansBatch,
} from '../../lake/model/batch.ts';

/** `quality` and `device` are null where they are left out. */
export type MetricRow = readonly [
  series: bigint,
  timestampUs: bigint,
  valueBits: bigint,
  quality?: string | null,
  device?: bigint | null,
  histogram?: string | null,
  startUs?: bigint | null,
];
export type LogRow = readonly [
  stream: bigint,
  timestampNs: bigint,
  line: string,
  attributes: string | null,
  severity: string | null,
  quality?: string | null,
  device?: bigint | null,
];
/** `optional` stands in every column that may be null. */
export type SpanRow = readonly [
  service: string,
  startNs: bigint,
  durationNs: bigint,
  optional: string | null,
];
export type EventRow = readonly [name: string, timestampNs: bigint, optional: string | null];
/** The bits of min, max, sum and last follow from those of one value. */
export type RollupRow = readonly [series: bigint, timestampUs: bigint, valueBits: bigint, count: bigint];
/** The trace's id is the exemplar's label too. */
export type ExemplarRow = readonly [
  series: bigint,
  timestampUs: bigint,
  valueBits: bigint,
  trace: string | null,
];
export type GapRow = readonly [
  fromUs: bigint,
  toUs: bigint,
  reason: string,
  rows: bigint | null,
  detail: string | null,
];

/** Names whose order differs between UTF-8 and UTF-16, and one series without a name's usual letters. */
const names = ['up', 'a_total', '\u{1f600}', '\uffee'];

/** Made-up labels of an id. */
export function seriesOf(id: bigint): string {
  return JSON.stringify({ __name__: names[Number(id % 4n)], site: 'plant', topic: `plant/sensor-${id}` });
}

const entriesOf = (rows: readonly (readonly [bigint, ...unknown[]])[]): SeriesEntry[] =>
  [...new Set(rows.map(([id]) => id))].map((id) => ({ id, labels: seriesOf(id) }));

const doubles = (bits: readonly bigint[]): Float64Array => new Float64Array(BigInt64Array.from(bits).buffer);

/** A column is left out when all of it is null, as receivers do. */
function columnsOf<F extends string, T>(field: F, values: readonly (T | null | undefined)[]) {
  const some = values.some((value) => value != null);
  return (some ? { [field]: values.map((value) => value ?? null) } : {}) as {
    readonly [K in F]?: (T | null)[];
  };
}

function qualityOf(
  qualities: readonly (string | null | undefined)[],
  devices: readonly (bigint | null | undefined)[],
): Pick<MetricsBatch, 'quality' | 'deviceTimestampUs'> {
  return { ...columnsOf('quality', qualities), ...columnsOf('deviceTimestampUs', devices) };
}

export function metricsBatch(rows: readonly MetricRow[]): MetricsBatch {
  return {
    signal: 'metrics',
    rows: rows.length,
    seriesId: BigInt64Array.from(rows, ([id]) => id),
    timestampUs: BigInt64Array.from(rows, ([, us]) => us),
    value: doubles(rows.map(([, , bits]) => bits)),
    series: entriesOf(rows),
    metadata: [],
    ...qualityOf(
      rows.map(([, , , quality]) => quality),
      rows.map(([, , , , device]) => device),
    ),
    ...columnsOf(
      'histogram',
      rows.map((row) => row[5]),
    ),
    ...columnsOf(
      'startTimestampUs',
      rows.map((row) => row[6]),
    ),
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
    series: entriesOf(rows),
    ...qualityOf(
      rows.map(([, , , , , quality]) => quality),
      rows.map(([, , , , , , device]) => device),
    ),
  };
}

export function spansBatch(rows: readonly SpanRow[]): SpansBatch {
  const optional = rows.map(([, , , text]) => text);
  return {
    signal: 'spans',
    rows: rows.length,
    service: rows.map(([service]) => service),
    startNs: BigInt64Array.from(rows, ([, ns]) => ns),
    durationNs: BigInt64Array.from(rows, ([, , ns]) => ns),
    traceId: rows.map(() => 'ab'),
    spanId: rows.map(() => 'cd'),
    name: rows.map(() => 'GET'),
    kind: rows.map(() => 'server'),
    status: rows.map(() => 'ok'),
    attributesJson: rows.map(() => '{}'),
    resourceJson: rows.map(() => '{}'),
    ...(optional.some((text) => text !== null) && {
      parentSpanId: optional,
      statusMessage: optional,
      traceState: optional,
      scopeJson: optional,
      eventsJson: optional,
      linksJson: optional,
    }),
    series: [],
  };
}

export function eventsBatch(rows: readonly EventRow[]): EventsBatch {
  const optional = rows.map(([, , text]) => text);
  return {
    signal: 'events',
    rows: rows.length,
    name: rows.map(([name]) => name),
    timestampNs: BigInt64Array.from(rows, ([, ns]) => ns),
    attributesJson: rows.map(() => '{}'),
    resourceJson: rows.map(() => '{}'),
    source: rows.map(() => 'press'),
    ...(optional.some((text) => text !== null) && {
      body: optional,
      severity: optional,
      traceId: optional,
      spanId: optional,
    }),
    series: [],
  };
}

/** What a rollup row's doubles are, as bits. */
export const rollupBits = (bits: bigint) => ({ min: bits, max: bits ^ 1n, sum: bits ^ 2n, last: bits ^ 3n });

export function rollupsBatch(rows: readonly RollupRow[]): RollupsBatch {
  const column = (name: 'min' | 'max' | 'sum' | 'last') =>
    doubles(rows.map(([, , bits]) => rollupBits(bits)[name]));
  return {
    signal: 'metrics_1m',
    rows: rows.length,
    seriesId: BigInt64Array.from(rows, ([id]) => id),
    timestampUs: BigInt64Array.from(rows, ([, us]) => us),
    min: column('min'),
    max: column('max'),
    sum: column('sum'),
    count: BigInt64Array.from(rows, ([, , , count]) => count),
    last: column('last'),
    series: entriesOf(rows),
  };
}

export function gapsBatch(rows: readonly GapRow[]): GapsBatch {
  return {
    signal: 'gaps',
    rows: rows.length,
    fromUs: BigInt64Array.from(rows, ([from]) => from),
    toUs: BigInt64Array.from(rows, ([, to]) => to),
    ofSignal: rows.map(() => 'metrics'),
    ofClass: rows.map(() => 'metrics'),
    kind: rows.map(() => 'gap'),
    reason: rows.map(([, , reason]) => reason),
    rowsMissing: rows.map(([, , , missing]) => missing),
    detail: rows.map(([, , , , detail]) => detail),
    gateway: rows.map(() => 'gw-1'),
    series: [],
  };
}

export function exemplarsBatch(rows: readonly ExemplarRow[]): ExemplarsBatch {
  return {
    signal: 'exemplars',
    rows: rows.length,
    seriesId: BigInt64Array.from(rows, ([id]) => id),
    timestampUs: BigInt64Array.from(rows, ([, us]) => us),
    value: doubles(rows.map(([, , bits]) => bits)),
    exemplarLabels: rows.map(([, , , trace]) => exemplarLabels(trace)),
    ...columnsOf(
      'traceId',
      rows.map(([, , , trace]) => trace),
    ),
    series: entriesOf(rows),
  };
}

export const exemplarLabels = (trace: string | null): string =>
  JSON.stringify(trace === null ? {} : { trace_id: trace });

/** A batch of one row of each signal. */
export const oneRow = (us: bigint): Readonly<Record<Signal, Batch>> => ({
  metrics: metricsBatch([[1n, us, 0n]]),
  logs: logsBatch([[1n, us * 1000n, '', null, null]]),
  spans: spansBatch([['press', us * 1000n, 5n, null]]),
  events: eventsBatch([['door', us * 1000n, null]]),
  metrics_1m: rollupsBatch([[1n, us, 0n, 1n]]),
  gaps: gapsBatch([[us, us, 'test', null, null]]),
  exemplars: exemplarsBatch([[1n, us, 0n, null]]),
});
