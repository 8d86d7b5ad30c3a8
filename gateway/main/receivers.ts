import type { Hono } from 'hono';
import { influxRoutes } from '../../lake/api/receive/influx.ts';
import { type RemoteWriteOptions, remoteWriteRoutes } from '../../lake/api/receive/remote-write.ts';
import type { Clock } from '../../lake/base/clock.ts';
import { influxLimits } from '../../lake/receive/influx/receive.ts';
import type { OwnTime } from '../../lake/receive/mqtt/device-time.ts';
import { remoteWriteLimits } from '../../lake/receive/remote-write/limits.ts';
import type { GatewayConfig } from '../config.ts';

// The receivers that are HTTP: each adds its routes to the application, and counts.

export interface HttpReceivers {
  /** What they count, for the health metrics and the status page. */
  counters(): Readonly<Record<string, number>>;
  receivedBytes(): number;
}

/** Where they put what they receive, and what they ask. */
export interface ReceiveInto extends Pick<RemoteWriteOptions, 'append' | 'cache'> {
  readonly clock: Clock;
  readonly ownTime: () => OwnTime;
}

interface Receiver {
  readonly counters: Readonly<Record<string, number>>;
  readonly bytes: number;
}

export function openHttpReceivers(config: GatewayConfig, to: ReceiveInto, app: Hono): HttpReceivers {
  const receivers: readonly (() => Receiver)[] = [remoteWrite(config, to, app), influx(config, to, app)];
  return {
    counters: () => Object.assign({}, ...receivers.map((receiver) => receiver().counters)),
    receivedBytes: () => receivers.reduce((sum, receiver) => sum + receiver().bytes, 0),
  };
}

function remoteWrite(
  { http: { bodyBytesMax }, limits: { seriesPerRequestMax } }: GatewayConfig,
  { append, cache }: ReceiveInto,
  app: Hono,
): () => Receiver {
  const counters = {
    remote_write_samples_total: 0,
    remote_write_histograms_total: 0,
    remote_write_exemplars_total: 0,
    remote_write_refused_requests_total: 0,
  };
  let bytes = 0;
  const limits = {
    ...remoteWriteLimits,
    bodyBytesMax,
    decodedBytesMax: 2 * bodyBytesMax,
    seriesPerRequestMax,
  };
  const routes = remoteWriteRoutes({
    ...{ append, cache },
    limits,
    onAnswer: (answer) => {
      counters.remote_write_samples_total += answer.samples;
      counters.remote_write_histograms_total += answer.histograms;
      counters.remote_write_exemplars_total += answer.exemplars;
      counters.remote_write_refused_requests_total += answer.status === 204 ? 0 : 1;
      bytes += answer.bodyBytes;
    },
  });
  app.route('/', routes);
  return () => ({ counters, bytes });
}

function influx(
  { http: { bodyBytesMax }, mqtt: { futureMsMax } }: GatewayConfig,
  to: ReceiveInto,
  app: Hono,
): () => Receiver {
  const counters = { influx_rows_total: 0, influx_refused_requests_total: 0 };
  let bytes = 0;
  const routes = influxRoutes({
    ...to,
    limits: { ...influxLimits, bodyBytesMax, decodedBytesMax: 2 * bodyBytesMax, futureMsMax },
    onAnswer: (answer) => {
      counters.influx_rows_total += answer.rows;
      counters.influx_refused_requests_total += answer.status === 204 ? 0 : 1;
      bytes += answer.bodyBytes;
    },
  });
  app.route('/', routes);
  return () => ({ counters, bytes });
}
