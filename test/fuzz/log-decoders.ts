import { compress } from 'snappyjs';
import { FirnError } from '../../lake/base/errors.ts';
import { logStreams, serviceNameLabels } from '../../lake/receive/logs/streams.ts';
import { encodePush } from '../../lake/receive/loki-push/encode.fixture.ts';
import { lokiPushLimits } from '../../lake/receive/loki-push/limits.ts';
import { receiveLokiPush } from '../../lake/receive/loki-push/receive.ts';
import { protobufOfJson } from '../../lake/receive/otlp/json.ts';
import { otlpLimits } from '../../lake/receive/otlp/limits.ts';
import {
  metricsOf,
  nowNs,
  pointAt,
  resource,
  text,
  time,
  trace,
} from '../../lake/receive/otlp/receive.fixture.ts';
import {
  createMetricState,
  type OtlpFormat,
  type OtlpSignal,
  receiveOtlp,
} from '../../lake/receive/otlp/receive.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { checkBatch } from './check-batch.ts';
import type { FuzzedDecoder } from './decoders.ts';

// Loki push and OTLP.

const newCache = () => createSeriesCache({ identity: [['site', 'plant']], cachedSeriesMax: 500 });
const isFirnError = (error: unknown): boolean => error instanceof FirnError;

function lokiPush(format: 'json' | 'snappy', payload: Uint8Array): FuzzedDecoder {
  const streams = logStreams({ cache: newCache(), serviceNameFrom: serviceNameLabels });
  return {
    ...{ name: `Loki push, ${format}`, payloads: [payload], refuses: isFirnError },
    decode: (input) => {
      const body = format === 'json' ? input : compress(input);
      checkBatch(receiveLokiPush(format, body, streams, lokiPushLimits).batch);
    },
  };
}

const ns = 1_770_000_000_123_456_789n;
const pushed = encodePush([
  {
    labels: '{app="press", level="warn", path=`C:\\`}',
    entries: [
      [ns, 'level=info msg="a b"', { trace_id: 'ab', ünïcode: '✓' }],
      [ns + 1n, '{"nested":{"level":"error"}}'],
    ],
  },
]);
const pushedJson = {
  streams: [
    {
      stream: { app: 'press' },
      values: [
        [String(ns), 'err: x', { a: 'b' }],
        [String(ns), '{"lvl":"dbg"}'],
      ],
    },
  ],
};

const exemplars = [{ timeUnixNano: time, asDouble: 0.5, ...trace, filteredAttributes: [text('a', 'b')] }];
const values = [{ intValue: '-7' }, { doubleValue: 1.5 }, { bytesValue: 'AAEC' }, { boolValue: true }];
const otlpRequests: Readonly<Record<OtlpSignal, object>> = {
  logs: {
    resourceLogs: [
      {
        resource,
        scopeLogs: [
          {
            scope: { name: 'lib', version: '1', attributes: [text('x', 'y')] },
            logRecords: [
              {
                timeUnixNano: time,
                severityNumber: 9,
                eventName: 'e',
                body: { arrayValue: { values } },
                ...trace,
              },
              {
                ...{ observedTimeUnixNano: time, severityText: 'WARN', flags: 1, droppedAttributesCount: 2 },
                body: { stringValue: 'level=error ✓' },
                attributes: [{ key: 'm', value: { kvlistValue: { values: [text('b', 'c')] } } }],
              },
            ],
          },
        ],
      },
    ],
  },
  traces: {
    resourceSpans: [
      {
        resource,
        scopeSpans: [
          {
            spans: [
              {
                ...{ ...trace, name: 'GET', kind: 2, startTimeUnixNano: time, endTimeUnixNano: time },
                ...{ events: [{ name: 'e', timeUnixNano: time }], links: [trace], status: { code: 2 } },
                attributes: [text('a', 'b')],
              },
            ],
          },
        ],
      },
    ],
  },
  metrics: metricsOf(
    {
      name: 'g',
      unit: 'Cel',
      gauge: { dataPoints: [pointAt(5, { asInt: '7', attributes: [text('a.b', 'c')] })] },
    },
    {
      name: 's',
      sum: {
        aggregationTemporality: 1,
        isMonotonic: true,
        dataPoints: [pointAt(5, { asDouble: 1, exemplars })],
      },
    },
    {
      name: 'h',
      histogram: {
        aggregationTemporality: 2,
        dataPoints: [
          pointAt(5, { count: '3', sum: 4, bucketCounts: ['1', '2'], explicitBounds: [0.5], exemplars }),
        ],
      },
    },
    {
      name: 'e',
      exponentialHistogram: {
        aggregationTemporality: 2,
        dataPoints: [
          pointAt(5, {
            ...{
              count: '3',
              scale: 9,
              zeroCount: '1',
              positive: { offset: -2, bucketCounts: ['1', '0', '1'] },
            },
            negative: { offset: 1, bucketCounts: ['1'] },
          }),
        ],
      },
    },
    { name: 'q', summary: { dataPoints: [pointAt(5, { count: '1', quantileValues: [{ quantile: 0.5 }] })] } },
  ),
};

function otlp(signal: OtlpSignal, format: OtlpFormat): FuzzedDecoder {
  const limits = otlpLimits;
  const metricState = createMetricState({ ...limits, deltaSeriesMax: 100 });
  const cache = newCache();
  const streams = logStreams({ cache, serviceNameFrom: serviceNameLabels });
  const context = { cache, streams, limits, metricState };
  const json = Buffer.from(JSON.stringify(otlpRequests[signal]));
  return {
    name: `OTLP ${signal}, ${format}`,
    payloads: [format === 'json' ? json : protobufOfJson(signal, json)],
    decode: (input) => {
      for (const batch of receiveOtlp(signal, format, input, nowNs, context).batches) checkBatch(batch);
    },
    refuses: isFirnError,
  };
}

export const logDecoders: readonly FuzzedDecoder[] = [
  lokiPush('snappy', pushed),
  lokiPush('json', Buffer.from(JSON.stringify(pushedJson))),
  ...(['logs', 'traces', 'metrics'] as const).flatMap((signal) => [
    otlp(signal, 'protobuf'),
    otlp(signal, 'json'),
  ]),
];
