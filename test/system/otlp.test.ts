import { context as contexts, SeverityNumber, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { OTLPLogExporter as LogsOverGrpc } from '@opentelemetry/exporter-logs-otlp-grpc';
import { OTLPLogExporter as LogsAsJson } from '@opentelemetry/exporter-logs-otlp-http';
import { OTLPLogExporter as LogsAsProtobuf } from '@opentelemetry/exporter-logs-otlp-proto';
import { OTLPMetricExporter as MetricsOverGrpc } from '@opentelemetry/exporter-metrics-otlp-grpc';
import { OTLPMetricExporter as MetricsAsJson } from '@opentelemetry/exporter-metrics-otlp-http';
import { OTLPMetricExporter as MetricsAsProtobuf } from '@opentelemetry/exporter-metrics-otlp-proto';
import { OTLPTraceExporter as TracesOverGrpc } from '@opentelemetry/exporter-trace-otlp-grpc';
import { OTLPTraceExporter as TracesAsJson } from '@opentelemetry/exporter-trace-otlp-http';
import { OTLPTraceExporter as TracesAsProtobuf } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs';
import {
  AggregationTemporality,
  AggregationType,
  MeterProvider,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { describe, expect, test } from 'vitest';
import { sql } from '../harness/firn.ts';
import { shareGateway } from '../harness/shared-gateway.ts';

// OpenTelemetry's own SDK and exporters, into SQL.

const gateway = shareGateway();

const own = (path: string) => ({ url: `http://127.0.0.1:${gateway.port('otlpHttp')}${path}` });
const gzip = { compression: 'gzip' as never };
const overGrpc = () => ({ url: `http://127.0.0.1:${gateway.port('otlpGrpc')}` });
const delta = { temporalityPreference: AggregationTemporality.DELTA };

const senders = [
  {
    name: 'HTTP with protobuf and gzip',
    logs: () => new LogsAsProtobuf({ ...own('/v1/logs'), ...gzip }),
    metrics: () => new MetricsAsProtobuf({ ...own('/v1/metrics'), ...gzip }),
    traces: () => new TracesAsProtobuf({ ...own('/v1/traces'), ...gzip }),
  },
  {
    name: 'HTTP with JSON, on the main port',
    logs: () => new LogsAsJson({ url: `${gateway.url}/otlp/v1/logs` }),
    metrics: () => new MetricsAsJson({ url: `${gateway.url}/api/v1/otlp/v1/metrics`, ...delta }),
    traces: () => new TracesAsJson({ url: `${gateway.url}/v1/traces` }),
  },
  {
    name: 'gRPC',
    logs: () => new LogsOverGrpc(overGrpc()),
    metrics: () => new MetricsOverGrpc({ ...overGrpc(), ...gzip }),
    traces: () => new TracesOverGrpc({ ...overGrpc(), ...gzip }),
  },
];

describe.each(senders)('OpenTelemetry SDK over $name', (sender) => {
  const service = `press over ${sender.name}`;
  const resource = resourceFromAttributes({
    'service.name': service,
    'service.instance.id': 'i-1',
    'host.name': 'h1',
  });

  test('logs and events', async () => {
    const provider = new LoggerProvider({
      resource,
      processors: [new BatchLogRecordProcessor({ exporter: sender.logs() })],
    });
    const logger = provider.getLogger('belt', '1.2');
    const severityNumber = SeverityNumber.WARN;
    logger.emit({
      severityNumber,
      severityText: 'WARN',
      body: 'belt is slow',
      attributes: { 'order.id': 4711 },
    });
    logger.emit({ eventName: 'door.opened', body: { by: 'key' }, attributes: { door: 'north' } });
    await provider.forceFlush();
    expect(
      await sql(
        gateway.url,
        `SELECT line, severity, attributes->>'order_id', attributes->>'detected_level', attributes->>'scope_name'
         FROM logs WHERE labels->>'service_name' = '${service}' ORDER BY line DESC`,
      ),
    ).toEqual([
      ['{"by":"key"}', null, null, 'unknown', 'belt'],
      ['belt is slow', 'WARN', '4711', 'warn', 'belt'],
    ]);
    expect(
      await sql(
        gateway.url,
        `SELECT name, body, attributes->>'door' FROM events WHERE source = '${service}'`,
      ),
    ).toEqual([['door.opened', '{"by":"key"}', 'north']]);
    await provider.shutdown();
  });

  test('traces', async () => {
    const provider = new TracerProvider({
      resource,
      spanProcessors: [new BatchSpanProcessor({ exporter: sender.traces() })],
    });
    const tracer = provider.getTracer('belt');
    const parent = tracer.startSpan('order', { kind: SpanKind.SERVER, attributes: { 'http.status': 200 } });
    const child = tracer.startSpan(
      'press',
      { links: [{ context: parent.spanContext() }] },
      trace.setSpan(contexts.active(), parent),
    );
    child.addEvent('hot', { celsius: 81.5 });
    child.setStatus({ code: SpanStatusCode.ERROR, message: 'too hot' });
    child.end();
    parent.end();
    await provider.forceFlush();
    const { traceId, spanId } = parent.spanContext();
    const rows = await sql(
      gateway.url,
      `SELECT name, kind, status, status_message, parent_span_id, events->0->>'name',
         events->0->'attributes'->>'celsius', json_array_length(links), attributes->>'http.status', duration_ns >= 0
       FROM spans WHERE service = '${service}' AND trace_id = '${traceId}' ORDER BY name`,
    );
    expect(rows.map((row) => row.map((value) => (value === null ? null : String(value))))).toEqual([
      ['order', 'server', 'unset', null, null, null, null, null, '200', 'true'],
      ['press', 'internal', 'error', 'too hot', spanId, 'hot', '81.5', '1', null, 'true'],
    ]);
    await provider.shutdown();
  });

  test('metrics', async () => {
    const reader = new PeriodicExportingMetricReader({
      exporter: sender.metrics(),
      exportIntervalMillis: 1e6,
    });
    const provider = new MeterProvider({
      resource,
      readers: [reader],
      views: [
        {
          instrumentName: 'exp',
          aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM, options: { recordMinMax: true } },
        },
      ],
    });
    const meter = provider.getMeter('belt', '1.2');
    const orders = meter.createCounter('orders');
    const queue = meter.createUpDownCounter('queue', { unit: '{orders}' });
    const heat = meter.createGauge('heat', { unit: 'Cel' });
    const latency = meter.createHistogram('latency', {
      unit: 's',
      advice: { explicitBucketBoundaries: [1, 5] },
    });
    const exponential = meter.createHistogram('exp', { unit: 'By' });
    for (const round of [1, 2]) {
      orders.add(3, { kind: 'a' });
      queue.add(round === 1 ? 5 : -2);
      heat.record(20.5);
      latency.record(3);
      exponential.record(10);
      await provider.forceFlush();
    }
    const rows = await sql(
      gateway.url,
      `SELECT name, coalesce(labels->>'le', ''), arg_max(value, timestamp), max(histogram->>'count')
       FROM metrics WHERE labels->>'job' = '${service}' GROUP BY 1, 2 ORDER BY 1, 2`,
    );
    const isDelta = sender.name.includes('JSON');
    expect(rows).toEqual([
      ['exp_bytes', '', 'NaN', isDelta ? '1' : '2'],
      ['heat_celsius', '', 20.5, null],
      ['latency_seconds_bucket', '+Inf', 2, null],
      ['latency_seconds_bucket', '1', 0, null],
      ['latency_seconds_bucket', '5', 2, null],
      ['latency_seconds_count', '', 2, null],
      ['latency_seconds_sum', '', 6, null],
      ['orders_total', '', 6, null],
      ['queue', '', 3, null],
      ['target_info', '', 1, null],
    ]);
    const labels = `SELECT DISTINCT labels->>'instance', labels->>'otel_scope_name', labels->>'kind', start_timestamp IS NULL
      FROM metrics WHERE labels->>'job' = '${service}' AND name = 'orders_total'`;
    expect(await sql(gateway.url, labels)).toEqual([['i-1', 'belt', 'a', false]]);
    await provider.shutdown();
  });
});
