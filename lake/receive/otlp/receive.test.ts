import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FirnError } from '../../base/errors.ts';
import { textsOf } from '../../model/text-column.ts';
import { logStreams, serviceNameLabels } from '../logs/streams.ts';
import { plainLogs } from '../logs.fixture.ts';
import { createSeriesCache } from '../series-cache.ts';
import { protobufOfJson } from './json.ts';
import { otlpLimits } from './limits.ts';
import { metricsOf, nowNs, only, pointAt, receiver, resource, text, time, trace } from './receive.fixture.ts';
import { createMetricState, type OtlpSignal, receiveOtlp } from './receive.ts';

const logsOf = (...logRecords: object[]) => ({
  resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'lib', version: '2' }, logRecords }] }],
});

test('log records are lines: labels of the resource, everything else structured metadata', () => {
  const { batches, rejected } = receiver()(
    'logs',
    logsOf({
      ...{ timeUnixNano: time, observedTimeUnixNano: '1700000000999999999', severityNumber: 13 },
      ...{ severityText: 'WARNING', body: { stringValue: 'hot' }, flags: 1, ...trace },
      attributes: [text('http.path', '/"x"'), { key: 'n', value: { intValue: '9223372036854775807' } }],
    }),
  );
  const logs = only(batches, 'logs');
  expect(rejected.count).toBe(0);
  expect(logs.series.map(({ labels }) => labels)).toEqual(['{"k8s_pod_name":"p","service_name":"press"}']);
  expect([...logs.timestampNs]).toEqual([BigInt(time)]);
  expect(plainLogs(logs)).toMatchObject({
    line: ['hot'],
    severity: ['WARNING'],
    traceId: [trace.traceId],
    spanId: [trace.spanId],
  });
  expect(JSON.parse(textsOf(logs.attributes)[0] ?? '')).toEqual({
    ...{ detected_level: 'warn', flags: '1', host_name: 'h1', http_path: '/"x"', n: '9223372036854775807' },
    ...{ observed_timestamp: '1700000000999999999', scope_name: 'lib', scope_version: '2' },
    ...{ severity_number: '13', severity_text: 'WARNING', span_id: trace.spanId, trace_id: trace.traceId },
  });
});

test('a record without a time was made when it was seen, or now; bodies that are not text become JSON', () => {
  const kvlistValue = {
    values: [
      { key: 'b', value: { doubleValue: 1 } },
      { key: 'a', value: { boolValue: true } },
    ],
  };
  const { batches } = receiver()('logs', logsOf({ observedTimeUnixNano: '7' }, { body: { kvlistValue } }));
  const { timestampNs, line } = only(batches, 'logs');
  expect([...timestampNs]).toEqual([7n, 1_800_000_000_000_000_000n]);
  expect(textsOf(line)).toEqual(['', '{"a":true,"b":1.0}']);
});

test('a record with an event name is an event too', () => {
  const { batches } = receiver()(
    'logs',
    logsOf({
      timeUnixNano: time,
      eventName: 'door.open',
      body: { stringValue: 'x' },
      attributes: [text('a', 'b')],
    }),
  );
  expect(textsOf(only(batches, 'logs').attributes)[0]).toContain('"event_name":"door.open"');
  expect(only(batches, 'events')).toMatchObject({
    ...{ rows: 1, name: ['door.open'], body: ['x'], attributesJson: ['{"a":"b"}'], source: ['press'] },
  });
});

test('records that are wrong are rejected alone', () => {
  const { batches, rejected } = receiver({ limits: { lineBytesMax: 3 } })(
    'logs',
    logsOf(
      { timeUnixNano: time, body: { stringValue: 'long' } },
      { timeUnixNano: '18446744073709551615', body: { stringValue: 'a' } },
      { timeUnixNano: time, body: { stringValue: 'ok' } },
    ),
  );
  expect(textsOf(only(batches, 'logs').line)).toEqual(['ok']);
  expect(rejected).toEqual({
    count: 2,
    messages: [expect.stringMatching(/lineBytesMax/), expect.stringMatching(/out of range/)],
  });
});

test('a request may hold many records', () => {
  const logRecords = Array.from({ length: 200_000 }, () => ({ timeUnixNano: time }));
  const request = { resourceLogs: [{ scopeLogs: [{ logRecords }] }] };
  expect(only(receiver()('logs', request).batches, 'logs').rows).toBe(200_000);
});

test('spans are rows: exact times, attributes, events and links as JSON', () => {
  const span = {
    ...{
      ...trace,
      parentSpanId: 'eee19b7ec3c1b173',
      name: 'GET',
      kind: 'SPAN_KIND_SERVER',
      traceState: 'a=b',
    },
    ...{ startTimeUnixNano: time, endTimeUnixNano: '1700000000123456999' },
    attributes: [
      { key: 'n', value: { intValue: 1 } },
      { key: 'd', value: { doubleValue: 1 } },
    ],
    events: [{ timeUnixNano: time, name: 'retry', attributes: [text('x', 'y')] }],
    links: [{ ...trace, attributes: [] }],
    status: { code: 2, message: 'failed' },
  };
  const { batches, rejected } = receiver()('traces', {
    resourceSpans: [
      { resource, scopeSpans: [{ scope: { name: 'lib' }, spans: [span, { ...span, traceId: '00' }] }] },
    ],
  });
  const spans = only(batches, 'spans');
  expect(spans).toMatchObject({
    ...{
      rows: 1,
      service: ['press'],
      traceId: [trace.traceId],
      name: ['GET'],
      kind: ['server'],
      status: ['error'],
    },
    ...{ statusMessage: ['failed'], traceState: ['a=b'], parentSpanId: ['eee19b7ec3c1b173'] },
    attributesJson: ['{"d":1.0,"n":1}'],
    eventsJson: [`[{"name":"retry","timestamp_ns":"${time}","attributes":{"x":"y"}}]`],
    linksJson: [
      `[{"trace_id":"${trace.traceId}","span_id":"${trace.spanId}","trace_state":"","attributes":{}}]`,
    ],
    scopeJson: ['{"name":"lib"}'],
  });
  expect([[...spans.startNs], [...spans.durationNs]]).toEqual([[BigInt(time)], [210n]]);
  expect(rejected).toMatchObject({ count: 1, messages: [expect.stringMatching(/trace id/)] });
});

test.each<[OtlpSignal, unknown, RegExp]>([
  ['logs', '{', /not valid JSON/],
  ['logs', '[]', /not a JSON object/],
  ['logs', { resourceLogs: 1 }, /resourceLogs is not a list/],
  ['traces', { resourceSpans: [{ scopeSpans: [{ spans: [{ traceId: 'xyz' }] }] }] }, /traceId is not hex/],
  [
    'metrics',
    metricsOf({ name: 'a', gauge: { dataPoints: [{ asInt: 1.5 }] } }),
    /asInt is not a whole number/,
  ],
])('%s: %j is refused', (signal, body, message) => {
  expect(() => receiver()(signal, body)).toThrow(message);
});

test('values that nest without end are refused', () => {
  const nested = (depth: number): object =>
    depth === 0 ? { intValue: 1 } : { arrayValue: { values: [nested(depth - 1)] } };
  expect(receiver()('logs', logsOf({ timeUnixNano: time, body: nested(32) })).rejected.count).toBe(0);
  expect(() => receiver()('logs', logsOf({ timeUnixNano: time, body: nested(33) }))).toThrow(/nested/);
  expect(() => receiver()('logs', logsOf({ timeUnixNano: time, body: nested(500) }))).toThrow(/nested/);
});

const corpora = join(import.meta.dirname, '../../../..', 'shared/corpora/wire');
const examples = join(corpora, 'otlp', 'examples');

test.skipIf(!existsSync(corpora))("OpenTelemetry's examples are taken whole (skipped: no corpus)", () => {
  const files = { logs: ['logs', 'events'], traces: ['trace'], metrics: ['metrics'] } as const;
  let rows = 0;
  for (const signal of ['logs', 'traces', 'metrics'] as const)
    for (const file of files[signal]) {
      const request = receiver()(signal, readFileSync(join(examples, `${file}.json`), 'utf8'));
      expect([file, request.rejected.messages]).toEqual([file, []]);
      rows += request.batches.reduce((sum, batch) => sum + batch.rows, 0);
    }
  expect(rows).toBeGreaterThan(5);
});

interface LokiCase {
  readonly name: string;
  readonly otlp_logs_json: unknown;
  readonly expected_streams: readonly {
    labels: string;
    entries: readonly { ts: number; line: string; structured_metadata: Record<string, string> }[];
  }[];
  readonly discover_service_name: 'default' | readonly string[];
}

test.skipIf(!existsSync(corpora))('logs become what Loki makes of them (skipped: no corpus)', () => {
  const cases = readFileSync(join(corpora, 'loki-push/dev/otlp_logs_to_loki.jsonl'), 'utf8')
    .trim()
    .split('\n');
  for (const line of cases) {
    const { name, otlp_logs_json, expected_streams, discover_service_name } = JSON.parse(line) as LokiCase;
    const from = discover_service_name === 'default' ? serviceNameLabels : discover_service_name;
    const logs = only(receiver({ serviceNameFrom: from })('logs', otlp_logs_json).batches, 'logs');
    const entries = expected_streams.flatMap((stream) => stream.entries);
    expect([name, textsOf(logs.line)]).toEqual([name, entries.map((entry) => entry.line)]);
    const metadata = textsOf(logs.attributes).map((each) => {
      const { detected_level: _, ...rest } = JSON.parse(each ?? '') as Record<string, string>;
      return rest;
    });
    expect([name, metadata]).toEqual([name, entries.map((entry) => entry.structured_metadata)]);
    const labels = logs.series.map((each) =>
      Object.entries(JSON.parse(each.labels) as object).map(([key, value]) => `${key}="${value}"`),
    );
    // An empty label is no label here.
    const expected = expected_streams.map((stream) =>
      stream.labels
        .slice(1, -1)
        .split(', ')
        .filter((label) => !label.endsWith('=""')),
    );
    expect([name, labels]).toEqual([name, expected]);
  }
});

test('mutated requests are received or refused with a reason, never another error', () => {
  const limits = otlpLimits;
  const cache = createSeriesCache({ identity: [] });
  const streams = logStreams({ cache, serviceNameFrom: [] });
  const context = { cache, streams, limits, metricState: createMetricState(limits) };
  const exponential = {
    aggregationTemporality: 2,
    dataPoints: [pointAt(5, { count: '2', positive: { offset: 1, bucketCounts: ['2'] } })],
  };
  const histogram = {
    aggregationTemporality: 1,
    dataPoints: [
      pointAt(5, {
        count: '1',
        bucketCounts: ['1', '0'],
        explicitBounds: [1],
        exemplars: [{ asInt: '1', ...trace }],
      }),
    ],
  };
  const originals: Record<OtlpSignal, object> = {
    logs: logsOf({
      timeUnixNano: time,
      eventName: 'e',
      body: { arrayValue: { values: [{ stringValue: 'a' }] } },
      attributes: [text('a', 'b')],
      ...trace,
    }),
    traces: {
      resourceSpans: [
        {
          resource,
          scopeSpans: [
            {
              spans: [
                {
                  ...trace,
                  name: 'x',
                  startTimeUnixNano: time,
                  events: [{ name: 'e' }],
                  status: { code: 1 },
                },
              ],
            },
          ],
        },
      ],
    },
    metrics: metricsOf({ name: 'h', histogram }, { name: 'e', unit: 's', exponentialHistogram: exponential }),
  };
  const mutation = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  fc.assert(
    fc.property(
      fc.constantFrom<OtlpSignal>('logs', 'traces', 'metrics'),
      fc.boolean(),
      mutation,
      fc.nat(),
      (signal, json, changes, cut) => {
        const original = Buffer.from(JSON.stringify(originals[signal]));
        const bytes = Uint8Array.from(json ? original : protobufOfJson(signal, original));
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        const sent = cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes;
        try {
          const { batches } = receiveOtlp(signal, json ? 'json' : 'protobuf', sent, nowNs, context);
          for (const batch of batches) expect(batch.rows).toBeGreaterThanOrEqual(0);
        } catch (error) {
          if (!(error instanceof FirnError)) throw error;
        }
      },
    ),
    { numRuns: 5000 },
  );
});
