import { FirnError } from '../../base/errors.ts';
import type { LogsBatch, MetricsBatch } from '../../model/batch.ts';
import { canonicalLabels, type Label, type Labels, withIdentity } from '../../model/labels.ts';
import { type BodyLimits, bodyLimits } from '../body-limits.ts';
import { lineBytesMax } from '../logs/line-limit.ts';
import type { LogStreams } from '../logs/streams.ts';
import { createLogsBuilder } from '../logs-builder.ts';
import { createMetricsBuilder } from '../metrics-builder.ts';
import { type OwnTime, rowTime } from '../mqtt/device-time.ts';
import { noneRejected, noteRejected, type Rejected } from '../rejected.ts';
import type { SeriesCache } from '../series-cache.ts';
import { isSeriesRefusal } from '../series-guard.ts';
import { type InfluxPoint, LineError, parseLines } from './parse-line.ts';

/** Answered with 413, at which Telegraf halves its batches. */
export interface InfluxLimits extends BodyLimits {
  /** Fields of all lines; answered with 413. */
  readonly fieldsPerRequestMax: number;
  /** Of a field that is text; answered with 400. */
  readonly lineBytesMax: number;
  /** A time that is so much later than the receipt is not believed. */
  readonly futureMsMax: number;
}

export const influxLimits: InfluxLimits = {
  ...bodyLimits,
  fieldsPerRequestMax: 500_000,
  lineBytesMax,
  futureMsMax: 3_600_000,
};

/** Nanoseconds of one unit of a request's `precision`. */
export const precisions: Readonly<Record<string, bigint>> = {
  ns: 1n,
  n: 1n,
  us: 1000n,
  µ: 1000n,
  u: 1000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n,
};

export interface InfluxWrite {
  /** Nanoseconds of one unit of its timestamps. */
  readonly unitNs: bigint;
  /** Database or bucket, '' when not given. */
  readonly database: string;
  /** When it was received, microseconds since the Unix epoch. */
  readonly receivedUs: number;
}

export interface InfluxResult {
  /** Either may have no rows. */
  readonly metrics: MetricsBatch;
  readonly logs: LogsBatch;
  /** Values left out because the gateway takes no more series. */
  readonly rejected: Rejected;
}

/**
 * A request's lines as columns: numbers and booleans become samples of `<measurement>_<field>` (of `<measurement>` where
 * the field is called value), strings become log lines. Throws LineError, or FirnError `limit`; nothing is kept then.
 */
export function readInfluxLines(
  text: string,
  write: InfluxWrite,
  context: {
    readonly cache: SeriesCache;
    readonly streams: LogStreams;
    readonly limits: InfluxLimits;
    readonly ownTime: () => OwnTime;
  },
): InfluxResult {
  const { cache, streams, limits } = context;
  const own = context.ownTime();
  const metrics = createMetricsBuilder();
  const logs = createLogsBuilder();
  let fields = 0;
  const rejected = noneRejected();
  for (const point of parseLines(text)) {
    fields += point.fields.length;
    if (fields > limits.fieldsPerRequestMax) throw tooMany(limits.fieldsPerRequestMax);
    const timestampNs = point.timestamp === undefined ? undefined : point.timestamp * write.unitNs;
    const deviceUs = timestampNs === undefined ? undefined : Number(floorDivide(timestampNs, 1000n));
    const { timestampUs, doubt } = rowTime(deviceUs, write.receivedUs, own, limits.futureMsMax * 1000);
    for (const [field, value] of point.fields) {
      try {
        const key = keyOf(point, field, typeof value, write.database);
        const labels = () => labelsOf(point, field, typeof value, write.database);
        if (typeof value === 'number') {
          const series = cache.find(key, 0, key.length) ?? cache.add(key, 0, key.length, labels());
          metrics.append(series, timestampUs, value, doubt);
        } else {
          checkLine(value, limits);
          const exactNs = doubt === undefined ? timestampNs : undefined;
          const record = { timestampNs: exactNs ?? BigInt(timestampUs) * 1000n, line: value };
          logs.append(
            streams.of(key, 0, key.length, labels),
            doubt === undefined ? record : { ...record, doubt },
          );
        }
      } catch (error) {
        if (isSeriesRefusal(error)) {
          noteRejected(rejected, error.message);
        } else throw aboutLine(point.line, error);
      }
    }
  }
  return { metrics: metrics.finish(), logs: logs.finish(), rejected };
}

function checkLine(text: string, { lineBytesMax: max }: InfluxLimits): void {
  const bytes = text.length * 3 > max ? Buffer.byteLength(text) : 0;
  if (bytes > max)
    throw new FirnError({
      ...{ code: 'limit', operation: 'read line protocol', subject: 'lineBytesMax' },
      message: `a text of ${bytes} bytes: at most ${max} are accepted (limits.lineBytesMax)`,
    });
}

const aboutLine = (line: number, error: unknown): unknown =>
  error instanceof FirnError ? new LineError(line, error.message) : error;

/** A prefix that no other receiver's label bytes begin with; the lengths keep the parts apart. */
const keyOf = (point: InfluxPoint, field: string, type: string, database: string): Buffer =>
  Buffer.from(`influx ${type[0]} ${database.length} ${database} ${point.key.length} ${point.key}${field}`);

function labelsOf(
  point: InfluxPoint & { readonly line: number },
  field: string,
  type: string,
  database: string,
): Labels {
  const tags = tagLabels(point);
  const withDatabase: Labels =
    database === '' || tags.some(([name]) => name === 'db') ? tags : [...tags, ['db', database]];
  const labels =
    type === 'number'
      ? [...withDatabase, ['__name__', metricName(point.measurement, field)] as const]
      : withIdentity(withDatabase, [
          ['source', 'influx'],
          ['measurement', point.measurement],
          ['field', field],
        ]);
  return canonicalLabels(labels);
}

function tagLabels({ tags, line }: InfluxPoint & { readonly line: number }): Labels {
  const names = new Map<string, string>([['__name__', '__name__']]);
  return tags.map(([tag, value]): Label => {
    const name = labelName(tag);
    const other = names.get(name);
    if (other !== undefined)
      throw new LineError(
        line,
        `the tags ${JSON.stringify(other)} and ${JSON.stringify(tag)} are both ${name}`,
      );
    names.set(name, tag);
    return [name, value];
  });
}

/** As a classic label name: [a-zA-Z_][a-zA-Z0-9_]* */
function labelName(tag: string): string {
  const name = tag.replaceAll(/[^a-zA-Z0-9_]/gu, '_');
  return /^[a-zA-Z_]/.test(name) ? name : `_${name}`;
}

function metricName(measurement: string, field: string): string {
  const name = (field === 'value' ? measurement : `${measurement}_${field}`).replaceAll(
    /[^a-zA-Z0-9_:]/gu,
    '_',
  );
  return /^[a-zA-Z_:]/.test(name) ? name : `_${name}`;
}

function floorDivide(value: bigint, by: bigint): bigint {
  const quotient = value / by;
  return value < 0n && quotient * by !== value ? quotient - 1n : quotient;
}

const tooMany = (max: number): FirnError =>
  new FirnError({
    code: 'limit',
    operation: 'read line protocol',
    subject: 'fieldsPerRequestMax',
    message: `the request has more than ${max} fields (fieldsPerRequestMax)`,
    hint: 'send smaller requests',
  });
