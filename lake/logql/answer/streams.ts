import type { Matcher } from '../ast.ts';
import type { Budget } from '../budget.ts';
import type { LogqlLimits } from '../limits.ts';
import type { LogIndex } from '../source.ts';
import { compareText, type SeriesLabels } from '../value.ts';
import { labelsText } from './encode.ts';

// What streams there are, labels of theirs, and how much of them: the JSON of answers.

interface StreamsAsked {
  /** A stream matches one of them; none: all streams. */
  readonly matcherSets: readonly (readonly Matcher[])[];
  readonly fromNs: bigint;
  /** Exclusive. */
  readonly toNs: bigint;
}

export type StreamsTask = StreamsAsked &
  (
    | { readonly kind: 'labels' | 'series' | 'detected-labels' | 'stats' }
    | { readonly kind: 'label-values'; readonly name: string }
    | ({ readonly kind: 'volume' } & VolumeAsked)
  );

interface VolumeAsked {
  /** A vector of the whole time, or a matrix. */
  readonly resultType: 'vector' | 'matrix';
  /** Of a matrix; undefined: one step. */
  readonly stepNs: number | undefined;
  /** Labels that volumes are told apart by; none: all. */
  readonly names: readonly string[];
  /** `labels`: a volume for each label's name, whatever its value. */
  readonly by: 'series' | 'labels';
  readonly limit: number;
}

export interface StreamsReading {
  readonly index: LogIndex;
  readonly budget: Budget;
  readonly limits: LogqlLimits;
}

export function streamsText(task: StreamsTask, reading: StreamsReading): Promise<string> {
  switch (task.kind) {
    case 'labels':
      return labelNames(task, reading);
    case 'label-values':
      return labelValues(task, task.name, reading);
    case 'series':
      return series(task, reading);
    case 'detected-labels':
      return detectedLabels(task, reading);
    case 'stats':
      return stats(task, reading);
    case 'volume':
      return volume(task, reading);
  }
}

/** Label sets in batches; throws LogqlError `limit`. */
async function* streamsOf(
  { matcherSets, fromNs, toNs }: StreamsAsked,
  { index, budget, limits }: StreamsReading,
): AsyncGenerator<readonly SeriesLabels[]> {
  let count = 0;
  const request = { matcherSets, fromNs, toNs, streamsMax: limits.seriesMax };
  for await (const texts of index.streams(request, budget.signal)) {
    count += texts.length;
    budget.checkSeries(count);
    yield texts.map(labelsOf);
    await budget.breathe();
  }
}

const labelsOf = (json: string): SeriesLabels => Object.entries(JSON.parse(json) as Record<string, string>);

const success = (data: unknown): string => JSON.stringify({ status: 'success', data });

async function labelNames(asked: StreamsAsked, reading: StreamsReading): Promise<string> {
  const names = new Set<string>();
  for await (const batch of streamsOf(asked, reading))
    for (const labels of batch) for (const [name] of labels) names.add(name);
  return success([...names].sort());
}

async function labelValues(asked: StreamsAsked, name: string, reading: StreamsReading): Promise<string> {
  const values = new Set<string>();
  for await (const batch of streamsOf(asked, reading))
    for (const labels of batch) for (const [label, value] of labels) if (label === name) values.add(value);
  return success([...values].sort());
}

async function series(asked: StreamsAsked, reading: StreamsReading): Promise<string> {
  const texts: string[] = [];
  for await (const batch of streamsOf(asked, reading)) texts.push(...batch.map(labelsText));
  return `{"status":"success","data":[${texts.sort().join(',')}]}`;
}

/** Names of labels, and of how many values each is. */
async function detectedLabels(asked: StreamsAsked, reading: StreamsReading): Promise<string> {
  const values = new Map<string, Set<string>>();
  for await (const batch of streamsOf(asked, reading))
    for (const labels of batch)
      for (const [name, value] of labels) values.set(name, (values.get(name) ?? new Set()).add(value));
  const found = [...values].map(([label, known]) => ({ label, cardinality: known.size }));
  return JSON.stringify({ detectedLabels: found.sort((a, b) => compareText(a.label, b.label)) });
}

/** The size of what a selector selects, without an envelope. */
async function stats({ matcherSets, fromNs, toNs }: StreamsAsked, reading: StreamsReading): Promise<string> {
  const { index, budget, limits } = reading;
  let [streams, bytes, entries] = [0, 0, 0];
  const request = { matcherSets, fromNs, toNs, stepNs: undefined, rowsMax: limits.samplesMax };
  for await (const batch of index.volumes(request, budget.signal)) {
    streams += batch.length;
    budget.checkSeries(streams);
    for (const volume of batch) {
      bytes += volume.bytes;
      entries += volume.lines;
    }
  }
  // A stream is in one chunk here, as far as anybody can tell.
  return JSON.stringify({ streams, chunks: streams, bytes, entries });
}

interface Volume {
  readonly labels: SeriesLabels;
  readonly bytes: Map<number, number>;
  total: number;
}

type VolumeTask = StreamsAsked & VolumeAsked;

/** Bytes by labels; the largest first. */
async function volumesOf(
  { matcherSets, fromNs, toNs, stepNs, names, by, limit }: VolumeTask,
  { index, budget, limits }: StreamsReading,
): Promise<readonly Volume[]> {
  const volumes = new Map<string, Volume>();
  const groupsOf = new Map<string, readonly Volume[]>();
  const groupsFor = (json: string): readonly Volume[] => {
    const own = labelsOf(json);
    const kept = names.length === 0 ? own : own.filter(([name]) => names.includes(name));
    if (kept.length === 0) return [];
    // A metric by the label's name is named by it alone.
    const groups = by === 'labels' ? kept.map(([name]) => [[name, ''] as const]) : [kept];
    return groups.map((labels) => {
      const volume = volumes.get(labelsText(labels)) ?? { labels, bytes: new Map(), total: 0 };
      volumes.set(labelsText(labels), volume);
      return volume;
    });
  };
  const request = { matcherSets, fromNs, toNs, stepNs, rowsMax: limits.samplesMax };
  for await (const batch of index.volumes(request, budget.signal)) {
    for (const { labels, step, bytes } of batch) {
      const groups = groupsOf.get(labels) ?? groupsFor(labels);
      groupsOf.set(labels, groups);
      for (const volume of groups) {
        volume.bytes.set(step, (volume.bytes.get(step) ?? 0) + bytes);
        volume.total += bytes;
      }
    }
    budget.checkSeries(groupsOf.size);
    await budget.breathe();
  }
  return [...volumes.values()]
    .sort((a, b) => b.total - a.total || compareText(labelsText(a.labels), labelsText(b.labels)))
    .slice(0, limit);
}

const secondsOf = (ns: bigint): number => Number(ns / 1_000_000n) / 1000;

async function volume(task: VolumeTask, reading: StreamsReading): Promise<string> {
  const { fromNs, toNs, stepNs, resultType } = task;
  // A point of a matrix is the end of its step.
  const timeOf = (step: number): number =>
    secondsOf(stepNs === undefined ? toNs : fromNs + BigInt(stepNs) * BigInt(step + 1));
  const result = (await volumesOf(task, reading)).map(({ labels, bytes, total }) => {
    const metric = `{"metric":${labelsText(labels)},`;
    if (resultType === 'vector') return `${metric}"value":[${secondsOf(toNs)},"${total}"]}`;
    const points = [...bytes].sort(([a], [b]) => a - b).map(([step, size]) => `[${timeOf(step)},"${size}"]`);
    return `${metric}"values":[${points.join(',')}]}`;
  });
  return `{"status":"success","data":{"resultType":"${resultType}","result":[${result.join(',')}],"stats":{}}}`;
}
