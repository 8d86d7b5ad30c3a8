import { type Label, type Labels, labelValue } from '../../model/labels.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import { invalid, limit } from './errors.ts';
import { levelOf } from './level.ts';
import type { LokiPushLimits } from './limits.ts';

/** Labels that name the service, where a stream does not: the first that it has. Loki's own list. */
export const serviceNameLabels: readonly string[] = [
  ...['service', 'app', 'application', 'app_name', 'name', 'app_kubernetes_io_name', 'container'],
  ...['container_name', 'k8s_container_name', 'component', 'workload', 'job', 'k8s_job_name'],
];
export const unknownService = 'unknown_service';

export interface Stream {
  readonly series: CachedSeries;
  /** The level that its labels name. */
  readonly level: string | undefined;
}

export interface StreamSource {
  /** The stream whose labels are written as bytes[start, end); `labels` reads them when it is not known yet. */
  of(bytes: Uint8Array, start: number, end: number, labels: () => readonly Label[]): Stream;
}

export interface StreamOptions {
  readonly cache: SeriesCache;
  readonly limits: LokiPushLimits;
  /** See serviceNameLabels; none: service_name is not added. */
  readonly serviceNameFrom: readonly string[];
}

export function streamSource({ cache, limits, serviceNameFrom }: StreamOptions): StreamSource {
  const streams = new WeakMap<CachedSeries, Stream>();
  return {
    of: (bytes, start, end, labels) => {
      const known = cache.find(bytes, start, end);
      const stream = known && streams.get(known);
      if (stream !== undefined) return stream;
      const own = checked(labels(), limits);
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

/** Throws FirnError `invalid` or `limit` worded like Loki. */
function checked(labels: readonly Label[], limits: LokiPushLimits): Labels {
  if (labels.length === 0) throw invalid('error at least one label pair is required per stream');
  const { labelsPerStreamMax, labelNameBytesMax, labelValueBytesMax } = limits;
  const text = printed(labels);
  if (labels.length > labelsPerStreamMax)
    throw limit(
      'labelsPerStreamMax',
      `entry for stream '${text}' has ${labels.length} label names; limit ${labelsPerStreamMax}`,
    );
  const names = new Set<string>();
  for (const [name, value] of labels) {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
      throw invalid(`invalid labels: ${JSON.stringify(name.slice(0, 100))} is not a valid label name`);
    if (names.has(name)) throw invalid(`stream '${text}' has duplicate label name: '${name}'`);
    names.add(name);
    if (name.length > labelNameBytesMax)
      throw limit(
        'labelNameBytesMax',
        `stream '${text}' has label name too long: '${name.slice(0, 100)}'; limit ${labelNameBytesMax}`,
      );
    if (Buffer.byteLength(value) > labelValueBytesMax)
      throw limit(
        'labelValueBytesMax',
        `stream '${text}' has label value too long: '${value.slice(0, 100)}'; limit ${labelValueBytesMax}`,
      );
  }
  return labels;
}

function printed(labels: readonly Label[]): string {
  const text = labels.slice(0, 20).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return `{${text.join(', ')}}`.slice(0, 300);
}
