import { type Label, type Labels, labelValue } from '../../model/labels.ts';
import { noteRejected, type Rejected } from '../rejected.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import { isSeriesRefusal } from '../series-guard.ts';
import { invalid } from './errors.ts';
import { levelOf } from './level.ts';

/** Labels that name the service, where a stream does not: the first that it has. Loki's own list. */
export const serviceNameLabels: readonly string[] = [
  ...['service', 'app', 'application', 'app_name', 'name', 'app_kubernetes_io_name', 'container'],
  ...['container_name', 'k8s_container_name', 'component', 'workload', 'job', 'k8s_job_name'],
];
const unknownService = 'unknown_service';

export interface Stream {
  readonly series: CachedSeries;
  /** The level that its labels name. */
  readonly level: string | undefined;
}

export interface StreamSource {
  /**
   * The stream whose labels are written as bytes[start, end); `labels` reads them when it is not known yet. Throws
   * FirnError `invalid` and what the cache throws.
   */
  of(bytes: Uint8Array, start: number, end: number, labels: () => readonly Label[]): Stream;
}

/** What `find` finds; undefined when the guard refuses it, which is noted. */
export function admittedStream(find: () => Stream, rejected: Rejected): Stream | undefined {
  try {
    return find();
  } catch (error) {
    if (!isSeriesRefusal(error)) throw error;
    noteRejected(rejected, error.message, 0);
    return undefined;
  }
}

export interface StreamOptions {
  readonly cache: SeriesCache;
  /** See serviceNameLabels; none: service_name is not added. */
  readonly serviceNameFrom: readonly string[];
}

export function streamSource({ cache, serviceNameFrom }: StreamOptions): StreamSource {
  const streams = new WeakMap<CachedSeries, Stream>();
  return {
    of: (bytes, start, end, labels) => {
      const known = cache.find(bytes, start, end);
      const stream = known && streams.get(known);
      if (stream !== undefined) return stream;
      const own = checked(labels());
      const series = known ?? cache.add(bytes, start, end, withServiceName(own, serviceNameFrom));
      const made = { series, level: levelOf((name) => labelValue(own, name)) };
      streams.set(series, made);
      return made;
    },
  };
}

function withServiceName(labels: Labels, from: readonly string[]): Labels {
  if (from.length === 0 || labelValue(labels, 'service_name') !== '') return labels;
  const name = from.find((each) => labelValue(labels, each) !== '');
  return [...labels, ['service_name', name === undefined ? unknownService : labelValue(labels, name)]];
}

/** Throws FirnError `invalid` worded like Loki. How many and how long they may be, the cache knows. */
function checked(labels: readonly Label[]): Labels {
  if (labels.length === 0) throw invalid('error at least one label pair is required per stream');
  const names = new Set<string>();
  for (const [name] of labels) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
      throw invalid(`invalid labels: ${JSON.stringify(name.slice(0, 100))} is not a valid label name`);
    if (names.has(name)) throw invalid(`stream '${printed(labels)}' has duplicate label name: '${name}'`);
    names.add(name);
  }
  return labels;
}

function printed(labels: readonly Label[]): string {
  const text = labels.slice(0, 20).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `{${text.join(', ')}}`.slice(0, 300);
}
