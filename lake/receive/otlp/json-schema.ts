// The messages of OTLP by the names of their fields in OTLP/JSON: number and kind, as in the .proto files.

export type Scalar =
  | 'string'
  | 'bytes'
  | 'hex'
  | 'bool'
  | 'varint'
  | 'sint32'
  | 'fixed32'
  | 'fixed64'
  | 'double';

export interface Field {
  readonly number: number;
  readonly kind: Scalar | (() => Message);
  readonly repeated?: boolean;
  /** Names of the values of an enum, for senders that do not send numbers. */
  readonly names?: readonly string[];
}

export type Message = Readonly<Record<string, Field>>;

const one = (number: number, kind: Field['kind']): Field => ({ number, kind });
const many = (number: number, kind: Field['kind']): Field => ({ number, kind, repeated: true });
const named = (number: number, names: readonly string[]): Field => ({ number, kind: 'varint', names });

const anyValue: Message = {
  stringValue: one(1, 'string'),
  boolValue: one(2, 'bool'),
  intValue: one(3, 'varint'),
  doubleValue: one(4, 'double'),
  arrayValue: one(5, () => arrayValue),
  kvlistValue: one(6, () => keyValueList),
  bytesValue: one(7, 'bytes'),
};
const arrayValue: Message = { values: many(1, () => anyValue) };
const keyValue: Message = { key: one(1, 'string'), value: one(2, () => anyValue) };
const keyValueList: Message = { values: many(1, () => keyValue) };
const resource: Message = { attributes: many(1, () => keyValue), droppedAttributesCount: one(2, 'varint') };
const scope: Message = {
  name: one(1, 'string'),
  version: one(2, 'string'),
  attributes: many(3, () => keyValue),
  droppedAttributesCount: one(4, 'varint'),
};

const logRecord: Message = {
  timeUnixNano: one(1, 'fixed64'),
  severityNumber: one(2, 'varint'),
  severityText: one(3, 'string'),
  body: one(5, () => anyValue),
  attributes: many(6, () => keyValue),
  droppedAttributesCount: one(7, 'varint'),
  flags: one(8, 'fixed32'),
  traceId: one(9, 'hex'),
  spanId: one(10, 'hex'),
  observedTimeUnixNano: one(11, 'fixed64'),
  eventName: one(12, 'string'),
};

const spanEvent: Message = {
  timeUnixNano: one(1, 'fixed64'),
  name: one(2, 'string'),
  attributes: many(3, () => keyValue),
  droppedAttributesCount: one(4, 'varint'),
};
const spanLink: Message = {
  traceId: one(1, 'hex'),
  spanId: one(2, 'hex'),
  traceState: one(3, 'string'),
  attributes: many(4, () => keyValue),
  droppedAttributesCount: one(5, 'varint'),
  flags: one(6, 'fixed32'),
};
const spanStatus: Message = {
  message: one(2, 'string'),
  code: named(3, ['STATUS_CODE_UNSET', 'STATUS_CODE_OK', 'STATUS_CODE_ERROR']),
};
const span: Message = {
  traceId: one(1, 'hex'),
  spanId: one(2, 'hex'),
  traceState: one(3, 'string'),
  parentSpanId: one(4, 'hex'),
  name: one(5, 'string'),
  kind: named(6, [
    ...['SPAN_KIND_UNSPECIFIED', 'SPAN_KIND_INTERNAL', 'SPAN_KIND_SERVER'],
    ...['SPAN_KIND_CLIENT', 'SPAN_KIND_PRODUCER', 'SPAN_KIND_CONSUMER'],
  ]),
  startTimeUnixNano: one(7, 'fixed64'),
  endTimeUnixNano: one(8, 'fixed64'),
  attributes: many(9, () => keyValue),
  droppedAttributesCount: one(10, 'varint'),
  events: many(11, () => spanEvent),
  droppedEventsCount: one(12, 'varint'),
  links: many(13, () => spanLink),
  droppedLinksCount: one(14, 'varint'),
  status: one(15, () => spanStatus),
  flags: one(16, 'fixed32'),
};

const exemplar: Message = {
  timeUnixNano: one(2, 'fixed64'),
  asDouble: one(3, 'double'),
  spanId: one(4, 'hex'),
  traceId: one(5, 'hex'),
  asInt: one(6, 'fixed64'),
  filteredAttributes: many(7, () => keyValue),
};
const numberPoint: Message = {
  startTimeUnixNano: one(2, 'fixed64'),
  timeUnixNano: one(3, 'fixed64'),
  asDouble: one(4, 'double'),
  exemplars: many(5, () => exemplar),
  asInt: one(6, 'fixed64'),
  attributes: many(7, () => keyValue),
  flags: one(8, 'varint'),
};
const histogramPoint: Message = {
  startTimeUnixNano: one(2, 'fixed64'),
  timeUnixNano: one(3, 'fixed64'),
  count: one(4, 'fixed64'),
  sum: one(5, 'double'),
  bucketCounts: many(6, 'fixed64'),
  explicitBounds: many(7, 'double'),
  exemplars: many(8, () => exemplar),
  attributes: many(9, () => keyValue),
  flags: one(10, 'varint'),
  min: one(11, 'double'),
  max: one(12, 'double'),
};
const exponentialBuckets: Message = { offset: one(1, 'sint32'), bucketCounts: many(2, 'varint') };
const exponentialPoint: Message = {
  attributes: many(1, () => keyValue),
  startTimeUnixNano: one(2, 'fixed64'),
  timeUnixNano: one(3, 'fixed64'),
  count: one(4, 'fixed64'),
  sum: one(5, 'double'),
  scale: one(6, 'sint32'),
  zeroCount: one(7, 'fixed64'),
  positive: one(8, () => exponentialBuckets),
  negative: one(9, () => exponentialBuckets),
  flags: one(10, 'varint'),
  exemplars: many(11, () => exemplar),
  min: one(12, 'double'),
  max: one(13, 'double'),
  zeroThreshold: one(14, 'double'),
};
const quantile: Message = { quantile: one(1, 'double'), value: one(2, 'double') };
const summaryPoint: Message = {
  startTimeUnixNano: one(2, 'fixed64'),
  timeUnixNano: one(3, 'fixed64'),
  count: one(4, 'fixed64'),
  sum: one(5, 'double'),
  quantileValues: many(6, () => quantile),
  attributes: many(7, () => keyValue),
  flags: one(8, 'varint'),
};
const temporality = named(2, [
  ...['AGGREGATION_TEMPORALITY_UNSPECIFIED', 'AGGREGATION_TEMPORALITY_DELTA'],
  'AGGREGATION_TEMPORALITY_CUMULATIVE',
]);
const points = (point: Message, more: Message = {}): (() => Message) => {
  const message: Message = { dataPoints: many(1, () => point), ...more };
  return () => message;
};
const metric: Message = {
  name: one(1, 'string'),
  description: one(2, 'string'),
  unit: one(3, 'string'),
  gauge: one(5, points(numberPoint)),
  sum: one(7, points(numberPoint, { aggregationTemporality: temporality, isMonotonic: one(3, 'bool') })),
  histogram: one(9, points(histogramPoint, { aggregationTemporality: temporality })),
  exponentialHistogram: one(10, points(exponentialPoint, { aggregationTemporality: temporality })),
  summary: one(11, points(summaryPoint)),
};

const ofScope = (records: string, record: Message): Message => ({
  scope: one(1, () => scope),
  [records]: many(2, () => record),
  schemaUrl: one(3, 'string'),
});
const ofResource = (scopes: string, records: string, record: Message): Message => {
  const scoped = ofScope(records, record);
  return { resource: one(1, () => resource), [scopes]: many(2, () => scoped), schemaUrl: one(3, 'string') };
};

const resourceLogs = ofResource('scopeLogs', 'logRecords', logRecord);
const resourceSpans = ofResource('scopeSpans', 'spans', span);
const resourceMetrics = ofResource('scopeMetrics', 'metrics', metric);

/** The requests, by signal. */
export const requestMessages: Readonly<Record<'logs' | 'traces' | 'metrics', Message>> = {
  logs: { resourceLogs: many(1, () => resourceLogs) },
  traces: { resourceSpans: many(1, () => resourceSpans) },
  metrics: { resourceMetrics: many(1, () => resourceMetrics) },
};
