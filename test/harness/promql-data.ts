import { canonicalLabels } from '../../lake/model/labels.ts';
import { noBuckets } from '../../lake/model/native-histogram.ts';
import { fromNative } from '../../lake/promql/histograms/histogram.ts';
import type { SeriesData } from '../../lake/promql/source.ts';
import type { WriteHistogram, WriteSeries } from '../../lake/receive/remote-write/encode.fixture.ts';

// Series that a differential test of PromQL asks about: an hour of samples that end at a given time.

/** A small, repeatable source of chance. */
function chance(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const staleBits = 0x7ff0000000000002n;
export const dataMinutes = 50;

/**
 * Counters with restarts and gaps, gauges with odd values, classic and native histograms, at uneven times; and what
 * PromLabs' demo services expose, at even ones. Remote write 1.0 and 2.0 take them as they are.
 */
export function differentialSeries(startMs: number): readonly WriteSeries[] {
  const random = chance(42);
  const all: WriteSeries[] = [];
  const add = (pairs: Record<string, string>, next: (before: number) => number, even = false): void => {
    const samples: [number, number | bigint][] = [];
    let value = Math.floor(random() * 10);
    const step = (): number => (even ? 15_000 : 14_000 + Math.floor(random() * 2000));
    for (let timeMs = startMs; timeMs < startMs + dataMinutes * 60_000; timeMs += step()) {
      value = next(value);
      const dice = even ? 1 : random();
      if (dice >= 0.05) samples.push([timeMs, dice < 0.07 ? staleBits : value]);
    }
    all.push({ labels: sortedPairs(pairs), samples });
  };
  for (const job of ['api', 'web', 'db']) {
    for (const instance of ['0', '1', '2']) {
      const at = { job, instance };
      add({ __name__: 'requests_total', ...at }, (before) => (random() < 0.03 ? 0 : before + random() * 7));
      add({ __name__: 'temperature', ...at }, () =>
        random() < 0.01 ? Number.NaN : 20 + random() * 5 - (random() < 0.05 ? 60 : 0),
      );
      for (const le of ['0.1', '1', '10', '+Inf'])
        add(
          { __name__: 'latency_bucket', le, ...at },
          (before) => before + Math.floor(random() * 4 + (le === '+Inf' ? 5 : Number(le) / 3)),
        );
      all.push(nativeHistogram({ __name__: 'duration', ...at }, startMs, random));
    }
    add({ __name__: 'job_info', job, team: `team-${job}` }, () => 1);
  }
  addDemo(add, random);
  // In the order of their labels, which is the order of series in a Prometheus that has not written a block yet.
  return all.sort((one, other) => (labelsText(one) < labelsText(other) ? -1 : 1));
}

/** A series of these as PromQL reads it. */
export function seriesData({ labels: pairs, samples, histograms = [] }: WriteSeries): SeriesData {
  const labels = canonicalLabels(pairs);
  if (histograms.length === 0) {
    const values = new Float64Array(samples.length);
    const bits = new BigUint64Array(values.buffer);
    samples.forEach(([, value], index) => {
      if (typeof value === 'bigint') bits[index] = value;
      else values[index] = value;
    });
    return { labels, timestampsMs: Float64Array.from(samples, ([timeMs]) => timeMs), values };
  }
  return {
    labels,
    timestampsMs: Float64Array.from(histograms, ({ timestamp = 0 }) => timestamp),
    values: new Float64Array(histograms.length).fill(Number.NaN),
    histograms: histograms.map((one) =>
      fromNative({
        ...{ schema: one.schema ?? 0, integer: true, stale: false, customValues: [], resetHint: 'unknown' },
        ...{ count: Number(one.count_int), sum: Number(one.sum), zeroThreshold: one.zero_threshold ?? 0 },
        zeroCount: Number(one.zero_count_int),
        negative: noBuckets,
        positive: { spans: one.positive_spans ?? [], counts: runningSums(one.positive_deltas ?? []) },
      }),
    ),
  };
}

function runningSums(deltas: readonly (number | bigint)[]): number[] {
  let sum = 0;
  return deltas.map((delta) => {
    sum += Number(delta);
    return sum;
  });
}

const labelsText = ({ labels }: WriteSeries): string => labels.flat().join('\u0000');

const sortedPairs = (pairs: Record<string, string>): [string, string][] =>
  Object.entries(pairs).sort(([one], [other]) => (one < other ? -1 : 1));

function nativeHistogram(pairs: Record<string, string>, startMs: number, random: () => number): WriteSeries {
  // Far from zero and without restarts: Prometheus 3.5 extrapolates these otherwise than 3.6 and later do.
  const counts = [1000, 1000, 1000, 1000, 1000, 1000];
  let zeros = 1000;
  let sum = 0;
  const histograms: WriteHistogram[] = [];
  for (let timeMs = startMs; timeMs < startMs + dataMinutes * 60_000; timeMs += 15_000) {
    counts.forEach((count, index) => {
      counts[index] = count + Math.floor(random() * 3);
    });
    zeros += Math.floor(random() * 2);
    sum += random() * 20;
    const total = counts.reduce((all, count) => all + count, zeros);
    histograms.push({
      ...{
        count_int: total,
        sum,
        schema: 1,
        zero_threshold: 0.001,
        zero_count_int: zeros,
        timestamp: timeMs,
      },
      positive_spans: [
        [-1, 2],
        [1, 4],
      ],
      positive_deltas: counts.map((count, index) => count - (counts[index - 1] ?? 0)),
    });
  }
  return { labels: sortedPairs(pairs), samples: [], histograms };
}

type Add = (pairs: Record<string, string>, next: (before: number) => number, even?: boolean) => void;

/** The metrics of promql-compliance's data, smaller. */
function addDemo(add: Add, random: () => number): void {
  for (const port of ['10000', '10001', '10002']) {
    const at = { instance: `demo.promlabs.com:${port}`, job: 'demo' };
    for (const type of ['free', 'used', 'buffers', 'cached'])
      add({ __name__: 'demo_memory_usage_bytes', type, ...at }, () => Math.floor(random() * 4e9), true);
    for (const mode of ['idle', 'user', 'system'])
      add({ __name__: 'demo_cpu_usage_seconds_total', mode, ...at }, (before) => before + random(), true);
    add({ __name__: 'demo_num_cpus', ...at }, () => 4, true);
    add({ __name__: 'demo_disk_usage_bytes', ...at }, (before) => before + 1e6, true);
    add({ __name__: 'demo_batch_last_success_timestamp_seconds', ...at }, (before) => before + 15, true);
    add({ __name__: 'demo_intermittent_metric', ...at }, (before) => before + 1);
    for (const method of ['GET', 'POST']) {
      const request = { method, path: '/api/foo', status: '200', ...at };
      const name = 'demo_api_request_duration_seconds';
      let steps = 0;
      for (const le of ['0.0001', '0.01', '0.1', '1', '+Inf']) {
        const rate = ++steps;
        add({ __name__: `${name}_bucket`, le, ...request }, (before) => before + rate * 3, true);
      }
      add({ __name__: `${name}_count`, ...request }, (before) => before + 15, true);
      add({ __name__: `${name}_sum`, ...request }, (before) => before + random(), true);
    }
  }
}
