import type { Hono } from 'hono';
import type { DirectHandler } from '../../lake/api/http-server.ts';
import type { AppendOptions } from '../../lake/api/receive/append.ts';
import { type InfluxOptions, influxRoutes } from '../../lake/api/receive/influx.ts';
import { lokiPushRoutes } from '../../lake/api/receive/loki-push.ts';
import { otlpRoutes } from '../../lake/api/receive/otlp.ts';
import { type OtlpOptions, type OtlpReceiver, otlpReceiver } from '../../lake/api/receive/otlp-receiver.ts';
import { remoteWriteHandler } from '../../lake/api/receive/remote-write.ts';
import type { Labels } from '../../lake/model/labels.ts';
import { influxLimits } from '../../lake/receive/influx/receive.ts';
import { lokiPushLimits } from '../../lake/receive/loki-push/limits.ts';
import { type OtlpLimits, otlpLimits } from '../../lake/receive/otlp/limits.ts';
import { remoteWriteLimits } from '../../lake/receive/remote-write/limits.ts';
import { createSeriesCache, type SeriesCache } from '../../lake/receive/series-cache.ts';
import type { SeriesGuard } from '../../lake/receive/series-guard.ts';
import type { GatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import type { Storage } from './storage.ts';

// The receivers that are HTTP: each adds its routes to the application, and counts.

export interface HttpReceivers {
  /** What they count, for the health metrics and the status page. */
  counters(): Readonly<Record<string, number>>;
  receivedBytes(): number;
  /** What is so frequent that it goes past the application. */
  readonly direct: { readonly 'POST /api/v1/write': DirectHandler };
  /** OTLP for ports of its own. */
  readonly otlp: OtlpDoor;
}

export interface OtlpDoor {
  readonly receive: OtlpReceiver;
  readonly routes: Hono;
  readonly limits: OtlpLimits;
}

/** Where they put what they receive, and what they ask. */
type ReceiveInto = Pick<InfluxOptions, 'append' | 'admit' | 'cache' | 'clock' | 'ownTime'>;

/** Settings that are about what comes by HTTP. */
type ReceivingSettings = Pick<GatewayConfig, 'http' | 'limits' | 'loki' | 'mqtt' | 'identityLabels'>;

interface Receiver {
  readonly counters: Readonly<Record<string, number>>;
  readonly bytes: number;
}

/** What a gateway receives by HTTP, with its own labels on it, and the series that all of its receivers share. */
export function openReceiving(
  config: ReceivingSettings,
  { clock, ownTime }: Pick<GatewayClock, 'clock' | 'ownTime'>,
  to: Pick<ReceiveInto, 'append' | 'admit'> & {
    readonly ids: Pick<Storage['ids'], 'site' | 'gateway'>;
    readonly guard: SeriesGuard;
  },
  app: Hono,
): { readonly cache: SeriesCache; readonly receivers: HttpReceivers } {
  const { ids, guard, ...into } = to;
  const identity: Labels = [
    ['gateway', ids.gateway],
    ['site', ids.site],
  ];
  const cache = createSeriesCache({
    ...{ identity: config.identityLabels ? identity : [], guard, limits: config.limits },
  });
  return { cache, receivers: openHttpReceivers(config, { ...into, cache, clock, ownTime }, app) };
}

function openHttpReceivers(config: ReceivingSettings, to: ReceiveInto, app: Hono): HttpReceivers {
  const written = remoteWrite(config, to);
  const received = otlp(config, to, app);
  const receivers: readonly (() => Receiver)[] = [
    written.receiver,
    lokiPush(config, to, app),
    influx(config, to, app),
    received.receiver,
  ];
  return {
    otlp: received.door,
    counters: () => Object.assign({}, ...receivers.map((receiver) => receiver().counters)),
    direct: { 'POST /api/v1/write': written.handler },
    receivedBytes: () => receivers.reduce((sum, receiver) => sum + receiver().bytes, 0),
  };
}

function remoteWrite(
  { http: { bodyBytesMax }, limits: { seriesPerRequestMax } }: ReceivingSettings,
  to: AppendOptions,
): { readonly receiver: () => Receiver; readonly handler: DirectHandler } {
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
  const handler = remoteWriteHandler({
    ...to,
    limits,
    onAnswer: (answer) => {
      counters.remote_write_samples_total += answer.samples;
      counters.remote_write_histograms_total += answer.histograms;
      counters.remote_write_exemplars_total += answer.exemplars;
      counters.remote_write_refused_requests_total += answer.status === 204 ? 0 : 1;
      bytes += answer.bodyBytes;
    },
  });
  return { handler, receiver: () => ({ counters, bytes }) };
}

function lokiPush(
  { http: { bodyBytesMax }, limits: { seriesPerRequestMax, lineBytesMax }, loki }: ReceivingSettings,
  to: AppendOptions,
  app: Hono,
): () => Receiver {
  const counters = { loki_push_lines_total: 0, loki_push_refused_requests_total: 0 };
  let bytes = 0;
  const routes = lokiPushRoutes({
    ...to,
    ...(loki.discoverServiceName ? {} : { serviceNameFrom: [] }),
    levels: loki.discoverLogLevels,
    limits: {
      ...lokiPushLimits,
      ...{ bodyBytesMax, decodedBytesMax: 2 * bodyBytesMax, streamsPerRequestMax: seriesPerRequestMax },
      lineBytesMax,
    },
    onAnswer: (answer) => {
      counters.loki_push_lines_total += answer.rows;
      counters.loki_push_refused_requests_total += answer.status === 204 ? 0 : 1;
      bytes += answer.bodyBytes;
    },
  });
  app.route('/', routes);
  return () => ({ counters, bytes });
}

function influx(
  { http: { bodyBytesMax }, limits: { lineBytesMax }, mqtt: { futureMsMax } }: ReceivingSettings,
  to: ReceiveInto,
  app: Hono,
): () => Receiver {
  const counters = { influx_rows_total: 0, influx_refused_requests_total: 0 };
  let bytes = 0;
  const routes = influxRoutes({
    ...to,
    limits: { ...influxLimits, bodyBytesMax, decodedBytesMax: 2 * bodyBytesMax, lineBytesMax, futureMsMax },
    onAnswer: (answer) => {
      counters.influx_rows_total += answer.rows;
      counters.influx_refused_requests_total += answer.status === 204 ? 0 : 1;
      bytes += answer.bodyBytes;
    },
  });
  app.route('/', routes);
  return () => ({ counters, bytes });
}

function otlp(
  { http: { bodyBytesMax }, limits: { lineBytesMax } }: ReceivingSettings,
  to: Pick<OtlpOptions, 'append' | 'admit' | 'cache' | 'clock'>,
  app: Hono,
): { readonly receiver: () => Receiver; readonly door: OtlpDoor } {
  const counters = { otlp_rows_total: 0, otlp_rejected_rows_total: 0, otlp_refused_requests_total: 0 };
  let bytes = 0;
  const limits = { ...otlpLimits, bodyBytesMax, decodedBytesMax: 2 * bodyBytesMax, lineBytesMax };
  const receive = otlpReceiver({
    ...to,
    limits,
    onAnswer: (answer) => {
      counters.otlp_rows_total += answer.rows;
      counters.otlp_rejected_rows_total += answer.rejected;
      counters.otlp_refused_requests_total += Number(answer.refused);
      bytes += answer.bodyBytes;
    },
  });
  const routes = otlpRoutes(receive, limits);
  app.route('/', routes);
  return { door: { receive, routes, limits }, receiver: () => ({ counters, bytes }) };
}
