/**
 * A native histogram of Prometheus: counts in buckets whose bounds follow from `schema`. Receivers make it with absolute
 * counts from whatever their wire has; it is stored as the text of `histogramText`.
 */
export interface NativeHistogram {
  /** -4 to 8: bucket i ends at 2^(i * 2^-schema), both signs. -53: bucket i ends at customValues[i]. */
  readonly schema: number;
  /** Counts are whole numbers of observations; else they are any numbers, as recording rules make them. */
  readonly integer: boolean;
  readonly count: HistogramCount;
  /** NaN with `stale` when the series ended. */
  readonly sum: number;
  readonly stale: boolean;
  readonly zeroThreshold: number;
  readonly zeroCount: HistogramCount;
  readonly positive: HistogramBuckets;
  readonly negative: HistogramBuckets;
  /** Upper bounds of schema -53, ascending, without the last (+Inf); else empty. */
  readonly customValues: readonly number[];
  readonly resetHint: ResetHint;
}

/** A bigint only where a number could not hold it exactly. */
export type HistogramCount = number | bigint;

export interface HistogramBuckets {
  /** Runs of buckets: how many to skip (the first: the index to start at), and how many follow. */
  readonly spans: readonly (readonly [offset: number, length: number])[];
  /** One for each bucket of the spans: its own count, not a difference. */
  readonly counts: readonly HistogramCount[];
}

/** Whether the counts went back to zero before this sample, as far as the sender knows; `gauge`: they may go down. */
const resetHints = ['unknown', 'yes', 'no', 'gauge'] as const;
export type ResetHint = (typeof resetHints)[number];

const customBucketsSchema = -53;
export const noBuckets: HistogramBuckets = { spans: [], counts: [] };

/** More buckets than any sender makes; spans may say more than they hold bytes. */
const bucketsMax = 100_000;

/**
 * Canonical JSON text: keys in one order, what is empty or usual left out, and numbers that JSON can't hold exactly
 * (NaN, the infinities, -0, whole numbers from 2^53) as strings. `StaleNaN` as the sum is the end of a series; every
 * other NaN is one.
 */
export function histogramText(histogram: NativeHistogram): string {
  const { schema, integer, count, sum, stale, zeroThreshold, zeroCount, customValues, resetHint } = histogram;
  return JSON.stringify({
    schema,
    ...(!integer && { float: true }),
    count: numberJson(count),
    sum: stale ? 'StaleNaN' : numberJson(sum),
    ...((zeroThreshold !== 0 || zeroCount !== 0) && {
      zero_threshold: numberJson(zeroThreshold),
      zero_count: numberJson(zeroCount),
    }),
    ...bucketsJson('negative', histogram.negative),
    ...bucketsJson('positive', histogram.positive),
    ...(customValues.length > 0 && { custom_values: customValues.map(numberJson) }),
    ...(resetHint !== 'unknown' && { reset_hint: resetHint }),
  });
}

function bucketsJson(side: string, { spans, counts }: HistogramBuckets): Record<string, unknown> {
  return spans.length === 0 ? {} : { [`${side}_spans`]: spans, [`${side}_counts`]: counts.map(numberJson) };
}

function numberJson(value: HistogramCount): number | string {
  if (typeof value === 'bigint') return String(value);
  if (Number.isNaN(value)) return 'NaN';
  if (Object.is(value, -0)) return '-0';
  return Number.isFinite(value) ? value : value > 0 ? '+Inf' : '-Inf';
}

interface HistogramJson {
  readonly schema: number;
  readonly float?: true;
  readonly count: number | string;
  readonly sum: number | string;
  readonly zero_threshold?: number | string;
  readonly zero_count?: number | string;
  readonly negative_spans?: readonly (readonly [number, number])[];
  readonly negative_counts?: readonly (number | string)[];
  readonly positive_spans?: readonly (readonly [number, number])[];
  readonly positive_counts?: readonly (number | string)[];
  readonly custom_values?: readonly (number | string)[];
  readonly reset_hint?: ResetHint;
}

/** What `histogramText` wrote; the text is trusted. */
export function parseHistogramText(text: string): NativeHistogram {
  const json = JSON.parse(text) as HistogramJson;
  const {
    negative_spans = [],
    negative_counts = [],
    positive_spans = [],
    positive_counts = [],
    custom_values = [],
  } = json;
  return {
    schema: json.schema,
    integer: json.float !== true,
    count: countOf(json.count),
    sum: json.sum === 'StaleNaN' ? Number.NaN : Number(countOf(json.sum)),
    stale: json.sum === 'StaleNaN',
    zeroThreshold: Number(countOf(json.zero_threshold ?? 0)),
    zeroCount: countOf(json.zero_count ?? 0),
    negative: { spans: negative_spans, counts: negative_counts.map(countOf) },
    positive: { spans: positive_spans, counts: positive_counts.map(countOf) },
    customValues: custom_values.map((value) => Number(countOf(value))),
    resetHint: json.reset_hint ?? 'unknown',
  };
}

function countOf(value: number | string): HistogramCount {
  if (typeof value === 'number') return value;
  if (/^\d+$/.test(value)) return BigInt(value);
  if (value === '+Inf') return Number.POSITIVE_INFINITY;
  return value === '-Inf' ? Number.NEGATIVE_INFINITY : Number(value);
}

/** An unsigned 64-bit count in its exact form. */
export const exactCount = (value: bigint): HistogramCount =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;

/** The hint by its number on Prometheus' wire. */
export const resetHintOf = (wire: number): ResetHint => resetHints[wire] ?? 'unknown';

/** Says what is wrong with a histogram, by the rules of Prometheus (model/histogram Validate); undefined: nothing. */
export function whyNotHistogram(histogram: NativeHistogram): string | undefined {
  const { schema, negative, positive, zeroCount, zeroThreshold, customValues } = histogram;
  if (schema === customBucketsSchema) {
    const rising = customValues.every(
      (value, index) => Number.isFinite(value) && (index === 0 || value > (customValues[index - 1] ?? 0)),
    );
    if (!rising) return 'its custom bounds are not finite and ascending';
    if (negative.spans.length > 0 || zeroCount !== 0 || zeroThreshold !== 0)
      return 'with custom bounds (schema -53) it may have neither negative buckets nor a zero bucket';
    const buckets = lastBucket(positive);
    if (buckets > customValues.length + 1)
      return `it has ${buckets} buckets, but ${customValues.length} custom bounds`;
  } else if (!(schema >= -4 && schema <= 8)) {
    return `schema ${schema} is not known (-4 to 8, or -53 with custom bounds)`;
  } else if (customValues.length > 0) {
    return `custom bounds belong to schema -53, not to ${schema}`;
  }
  if (!(zeroThreshold >= 0)) return 'its zero threshold is negative';
  if (!(zeroCount >= 0)) return 'its zero count is negative';
  return whyNotBuckets('negative', negative) ?? whyNotBuckets('positive', positive) ?? whyNotTotal(histogram);
}

/** Where the last bucket of schema -53 ends, which starts at 0. */
const lastBucket = ({ spans }: HistogramBuckets): number =>
  spans.reduce((end, [offset, length]) => end + offset + length, 0);

function whyNotBuckets(side: string, { spans, counts }: HistogramBuckets): string | undefined {
  let buckets = 0;
  for (const [index, [offset, length]] of spans.entries()) {
    if (index > 0 && offset < 0) return `span ${index + 1} of its ${side} buckets goes back`;
    buckets += length;
  }
  if (buckets > bucketsMax) return `it has more than ${bucketsMax} ${side} buckets`;
  if (buckets !== counts.length)
    return `its ${side} spans say ${buckets} buckets, there are counts of ${counts.length}`;
  const negative = counts.findIndex((count) => !(count >= 0));
  return negative < 0 ? undefined : `the count of ${side} bucket ${negative + 1} is negative`;
}

/** Observations that are NaN are in no bucket, and make the sum NaN: then the count may be more than the buckets'. */
function whyNotTotal({ integer, count, sum, zeroCount, negative, positive }: NativeHistogram) {
  if (!integer) return count >= 0 ? undefined : 'its count is negative';
  const counts = [zeroCount, ...negative.counts, ...positive.counts];
  const total = counts.reduce<bigint>((all, each) => all + BigInt(each), 0n);
  const wrong = Number.isNaN(sum) ? total > BigInt(count) : total !== BigInt(count);
  return wrong ? `its buckets hold ${total} observations, its count says ${count}` : undefined;
}
