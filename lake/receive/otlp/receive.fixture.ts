import type {
  Batch,
  EventsBatch,
  ExemplarsBatch,
  LogsBatch,
  MetricsBatch,
  SpansBatch,
} from '../../model/batch.ts';
import { logStreams, serviceNameLabels } from '../logs/streams.ts';
import { setDigits } from '../nanoseconds.ts';
import { createSeriesCache } from '../series-cache.ts';
import { type OtlpLimits, otlpLimits } from './limits.ts';
import { createMetricState, type OtlpSignal, receiveOtlp } from './receive.ts';

// Requests and what becomes of them, for tests.

export const nowNs = { low: 0, high: 0 };
setDigits(nowNs, '1800000000000000000');

export function receiver(
  options: { limits?: Partial<OtlpLimits>; serviceNameFrom?: readonly string[] } = {},
) {
  const limits = { ...otlpLimits, ...options.limits };
  const { serviceNameFrom = serviceNameLabels } = options;
  const cache = createSeriesCache({ identity: [] });
  const streams = logStreams({ cache, serviceNameFrom });
  const context = { cache, streams, limits, metricState: createMetricState(limits) };
  return (signal: OtlpSignal, body: unknown) => {
    const bytes = Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
    return receiveOtlp(signal, 'json', bytes, nowNs, context);
  };
}

export type BatchOf = {
  logs: LogsBatch;
  events: EventsBatch;
  spans: SpansBatch;
  metrics: MetricsBatch;
  exemplars: ExemplarsBatch;
};
export function only<S extends keyof BatchOf>(batches: readonly Batch[], signal: S): BatchOf[S] {
  return batches.find((batch) => batch.signal === signal) as BatchOf[S];
}

export const text = (key: string, value: string) => ({ key, value: { stringValue: value } });
export const resource = {
  attributes: [text('service.name', 'press'), text('host.name', 'h1'), text('k8s.pod.name', 'p')],
};
export const time = '1700000000123456789';
export const trace = { traceId: '5b8efff798038103d269b633813fc60c', spanId: 'eee19b7ec3c1b174' };

/** Samples as `labels value`, without what the resource adds. */
export function samples({ batches }: { readonly batches: readonly Batch[] }): string[] {
  const { seriesId, value, series } = only(batches, 'metrics');
  const labels = new Map(
    series.map((entry) => [entry.id, JSON.parse(entry.labels) as Record<string, string>]),
  );
  return [...seriesId].map((id, row) => {
    const { __name__: name, job: _job, ...rest } = labels.get(id) ?? {};
    const shown = Object.entries(rest).map(([key, text]) => `${key}="${text}"`);
    return `${name}{${shown.join(',')}} ${value[row]}`;
  });
}

const press = { attributes: [text('service.name', 'press')] };
export const metricsOf = (...metrics: object[]) => ({
  resourceMetrics: [{ resource: press, scopeMetrics: [{ metrics }] }],
});
export const pointAt = (seconds: number, more: object) => ({
  ...{ startTimeUnixNano: '1000000000', timeUnixNano: `${seconds}000000000`, ...more },
});
