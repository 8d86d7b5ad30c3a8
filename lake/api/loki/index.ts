import type { Matcher } from '../../logql/ast.ts';
import { parseSelector } from '../../logql/parse.ts';
import { compareText, type SeriesLabels } from '../../logql/value.ts';
import type { LogScan } from '../../scan/log-scan.ts';
import type { Parameters } from '../prometheus/parameters.ts';
import { labelsText } from './encode.ts';
import {
  badParameter,
  countParameter,
  durationParameter,
  rangeParameters,
  type TimeRange,
} from './parameters.ts';
import { stepParameter } from './queries.ts';
import { bare, succeed, succeedWith } from './respond.ts';

// What streams there are: labels, series, and how much of them.

export interface IndexOptions {
  readonly scan: LogScan;
  readonly nowNs: bigint;
  readonly signal: AbortSignal;
  readonly seriesMax: number;
}

const labelsRangeNs = 6n * 3_600_000_000_000n;

/** The range of a request about labels: the last six hours, where it does not say; a later end is now. */
function labelsRange(parameters: Parameters, nowNs: bigint): TimeRange {
  const { fromNs, toNs } = rangeParameters(parameters, nowNs);
  const given = parameters.text('start') !== '' || parameters.text('since') !== '';
  // The last nanosecond is asked for too.
  return { fromNs: given ? fromNs : toNs - labelsRangeNs, toNs: toNs + 1n };
}

function selectorOf(parameters: Parameters, name = 'query'): readonly Matcher[] | undefined {
  const text = parameters.text(name).trim();
  return text === '' || text === '{}' ? undefined : parseSelector(text);
}

async function streamsOf(
  matcherSets: readonly (readonly Matcher[])[],
  range: TimeRange,
  { scan, signal, seriesMax }: IndexOptions,
): Promise<readonly SeriesLabels[]> {
  const texts = await scan.streams({ matcherSets, ...range, streamsMax: seriesMax }, signal);
  return texts.map(labelsOf);
}

const labelsOf = (json: string): SeriesLabels => Object.entries(JSON.parse(json) as Record<string, string>);

/** GET and POST /loki/api/v1/labels. */
export async function answerLabels(parameters: Parameters, options: IndexOptions): Promise<Response> {
  const selector = selectorOf(parameters);
  const range = labelsRange(parameters, options.nowNs);
  const streams = await streamsOf(selector ? [selector] : [], range, options);
  return succeed([...new Set(streams.flatMap((labels) => labels.map(([name]) => name)))].sort());
}

/** GET and POST /loki/api/v1/label/:name/values. */
export async function answerLabelValues(
  parameters: Parameters,
  name: string,
  options: IndexOptions,
): Promise<Response> {
  const selector = selectorOf(parameters);
  const range = labelsRange(parameters, options.nowNs);
  const streams = await streamsOf(selector ? [selector] : [], range, options);
  const values = streams.flatMap((labels) => labels.filter(([label]) => label === name));
  return succeed([...new Set(values.map(([, value]) => value))].sort());
}

/** GET and POST /loki/api/v1/series. */
export async function answerSeries(parameters: Parameters, options: IndexOptions): Promise<Response> {
  const sets = [...parameters.all('match[]'), ...parameters.all('match')];
  const matcherSets = sets.map((text) => parseSelector(text));
  const range = labelsRange(parameters, options.nowNs);
  const streams = await streamsOf(matcherSets, range, options);
  return succeedWith([`{"status":"success","data":[${streams.map(labelsText).join(',')}]}`]);
}

/** GET and POST /loki/api/v1/index/stats: the size of what a selector selects, without an envelope. */
export async function answerIndexStats(parameters: Parameters, options: IndexOptions): Promise<Response> {
  const selector = selectorOf(parameters);
  const range = rangeParameters(parameters, options.nowNs);
  const { scan, signal, seriesMax } = options;
  const request = { matcherSets: selector ? [selector] : [], ...range, streamsMax: seriesMax };
  const volumes = await scan.volumes(request, signal);
  const sum = (of: 'lines' | 'bytes'): number => volumes.reduce((total, volume) => total + volume[of], 0);
  // A stream is in one chunk here, as far as anybody can tell.
  return bare({
    streams: volumes.length,
    chunks: volumes.length,
    bytes: sum('bytes'),
    entries: sum('lines'),
  });
}

const volumesByDefault = 100;

interface Volume {
  readonly labels: SeriesLabels;
  readonly bytes: Map<number, number>;
  total: number;
}

/** Bytes by labels: those of the selector, or `targetLabels`. */
async function volumesOf(
  parameters: Parameters,
  range: TimeRange,
  stepNs: number | undefined,
  { scan, signal, seriesMax }: IndexOptions,
): Promise<readonly Volume[]> {
  const selector = selectorOf(parameters);
  const targets = parameters
    .text('targetLabels')
    .split(',')
    .filter((name) => name !== '');
  const by = parameters.text('aggregateBy');
  if (by !== '' && by !== 'labels' && by !== 'series') throw badParameter('invalid aggregation option');
  const limit = countParameter(parameters, 'limit', volumesByDefault);
  const request = {
    ...{ matcherSets: selector ? [selector] : [], ...range, streamsMax: seriesMax },
    ...(stepNs === undefined ? {} : { stepNs }),
  };
  const names = targets.length > 0 ? targets : (selector ?? []).map(({ label }) => label);
  const volumes = new Map<string, Volume>();
  for (const { labels, step, bytes } of await scan.volumes(request, signal)) {
    const own = labelsOf(labels);
    const kept = names.length === 0 ? own : own.filter(([name]) => names.includes(name));
    if (kept.length === 0) continue;
    // By labels: a volume for each label's name, whatever its value.
    const groups = by === 'labels' ? kept.map(([name]) => [[name, name]] as SeriesLabels) : [kept];
    for (const group of groups) {
      const volume = volumes.get(labelsText(group)) ?? { labels: group, bytes: new Map(), total: 0 };
      volume.bytes.set(step, (volume.bytes.get(step) ?? 0) + bytes);
      volume.total += bytes;
      volumes.set(labelsText(group), volume);
    }
  }
  return [...volumes.values()]
    .sort((a, b) => b.total - a.total || compareText(labelsText(a.labels), labelsText(b.labels)))
    .slice(0, limit);
}

const secondsOf = (ns: bigint): number => Number(ns / 1_000_000n) / 1000;

/** A metric by the label's name is named by it alone. */
const metricText = (labels: SeriesLabels, byName: boolean): string =>
  byName ? labelsText(labels.map(([name]) => [name, ''] as const)) : labelsText(labels);

/** GET and POST /loki/api/v1/index/volume: a vector of bytes. */
export async function answerVolume(parameters: Parameters, options: IndexOptions): Promise<Response> {
  const range = rangeParameters(parameters, options.nowNs);
  const byName = parameters.text('aggregateBy') === 'labels';
  const volumes = await volumesOf(parameters, range, undefined, options);
  const result = volumes.map(
    ({ labels, total }) =>
      `{"metric":${metricText(labels, byName)},"value":[${secondsOf(range.toNs)},"${total}"]}`,
  );
  return succeedWith([
    `{"status":"success","data":{"resultType":"vector","result":[${result.join(',')}],"stats":{}}}`,
  ]);
}

/** GET and POST /loki/api/v1/index/volume_range: a matrix of bytes; a point is the end of its step. */
export async function answerVolumeRange(parameters: Parameters, options: IndexOptions): Promise<Response> {
  const range = rangeParameters(parameters, options.nowNs);
  const stepNs =
    durationParameter(parameters, 'step') === undefined ? undefined : stepParameter(parameters, range);
  const byName = parameters.text('aggregateBy') === 'labels';
  const volumes = await volumesOf(parameters, range, stepNs, options);
  const timeOf = (step: number): number =>
    secondsOf(stepNs === undefined ? range.toNs : range.fromNs + BigInt(stepNs) * BigInt(step + 1));
  const result = volumes.map(({ labels, bytes }) => {
    const points = [...bytes].sort(([a], [b]) => a - b).map(([step, size]) => `[${timeOf(step)},"${size}"]`);
    return `{"metric":${metricText(labels, byName)},"values":[${points.join(',')}]}`;
  });
  return succeedWith([
    `{"status":"success","data":{"resultType":"matrix","result":[${result.join(',')}],"stats":{}}}`,
  ]);
}

/** GET and POST /loki/api/v1/detected_labels: names of labels, and of how many values each is. */
export async function answerDetectedLabels(parameters: Parameters, options: IndexOptions): Promise<Response> {
  const selector = selectorOf(parameters);
  const range = labelsRange(parameters, options.nowNs);
  const streams = await streamsOf(selector ? [selector] : [], range, options);
  const values = new Map<string, Set<string>>();
  for (const [name, value] of streams.flat()) {
    const known = values.get(name) ?? new Set();
    values.set(name, known.add(value));
  }
  const detectedLabels = [...values].map(([label, known]) => ({ label, cardinality: known.size }));
  return bare({ detectedLabels: detectedLabels.sort((a, b) => compareText(a.label, b.label)) });
}
