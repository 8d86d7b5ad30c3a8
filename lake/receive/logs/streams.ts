import { type Labels, labelValue } from '../../model/labels.ts';
import type { CachedSeries, SeriesCache } from '../series-cache.ts';
import { levelOf, noLevel } from './level.ts';

// Where all receivers of lines find the stream of one: so each names its service, as Logs Drilldown wants it, and knows
// what its labels say of the level of its lines.

/** Labels that name the service, where a stream does not: the first that it has. Loki's own list. */
export const serviceNameLabels: readonly string[] = [
  ...['service', 'app', 'application', 'app_name', 'name', 'app_kubernetes_io_name', 'container'],
  ...['container_name', 'k8s_container_name', 'component', 'workload', 'job', 'k8s_job_name'],
];
/** The same where the gateway makes the labels, of MQTT, line protocol and syslog: at last it is the protocol. */
const deviceServiceLabels: readonly string[] = [
  ...serviceNameLabels,
  ...['appname', 'hostname', 'measurement', 'source'],
];
const unknownService = 'unknown_service';

export interface LogStream {
  readonly series: CachedSeries;
  /** The level that its labels name; noLevel where none is to be found. */
  readonly level: string | undefined;
}

/** Both throw what `labels` and the cache throw; they are called as those of SeriesCache. */
export interface LogStreams {
  /** The stream whose labels are written as bytes[start, end); `labels` reads them when it is not known yet. */
  of(bytes: Uint8Array, start: number, end: number, labels: () => Labels): LogStream;
  /** The stream behind a text key. */
  ofKey(key: string, labels: () => Labels): LogStream;
}

export interface LogStreamsOptions {
  readonly cache: SeriesCache;
  /** See serviceNameLabels; none: service_name is not added. */
  readonly serviceNameFrom: readonly string[];
  /** False: lines get no detected_level. */
  readonly levels?: boolean;
}

export function logStreams({ cache, serviceNameFrom, levels = true }: LogStreamsOptions): LogStreams {
  const streams = new WeakMap<CachedSeries, LogStream>();
  const remember = (series: CachedSeries, labels: Labels): LogStream => {
    const level = levels ? levelOf((name) => labelValue(labels, name)) : noLevel;
    const stream = { series, level };
    streams.set(series, stream);
    return stream;
  };
  return {
    of: (bytes, start, end, labels) => {
      const known = cache.find(bytes, start, end);
      const stream = known && streams.get(known);
      if (stream !== undefined) return stream;
      const own = labels();
      return remember(known ?? cache.add(bytes, start, end, withServiceName(own, serviceNameFrom)), own);
    },
    ofKey: (key, labels) => {
      const series = cache.ofKey(key, () => withServiceName(labels(), serviceNameFrom));
      return streams.get(series) ?? remember(series, labels());
    },
  };
}

/** Of receivers whose labels the gateway makes. */
export const deviceStreams = (cache: SeriesCache): LogStreams =>
  logStreams({ cache, serviceNameFrom: deviceServiceLabels });

function withServiceName(labels: Labels, from: readonly string[]): Labels {
  if (from.length === 0 || labelValue(labels, 'service_name') !== '') return labels;
  const name = from.find((each) => labelValue(labels, each) !== '');
  return [...labels, ['service_name', name === undefined ? unknownService : labelValue(labels, name)]];
}
