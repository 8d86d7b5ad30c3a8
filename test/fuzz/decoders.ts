import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { encode as encodeCbor } from 'cborg';
import { compress } from 'snappyjs';
import { FirnError } from '../../lake/base/errors.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { ExpositionError } from '../../lake/receive/exposition/cursor.ts';
import { parseExposition } from '../../lake/receive/exposition/parse.ts';
import { labelsOfSeries } from '../../lake/receive/exposition/read-series.ts';
import { LineError } from '../../lake/receive/influx/parse-line.ts';
import { influxLimits, readInfluxLines } from '../../lake/receive/influx/receive.ts';
import { deviceStreams } from '../../lake/receive/logs/streams.ts';
import { createLogsBuilder } from '../../lake/receive/logs-builder.ts';
import { createMetricsBuilder } from '../../lake/receive/metrics-builder.ts';
import { createMqttMapper, mqttLimits } from '../../lake/receive/mqtt/mapper.ts';
import { compileRules } from '../../lake/receive/mqtt/rules/compile.ts';
import type { TopicRule } from '../../lake/receive/mqtt/rules/reading.ts';
import type { RuleInput } from '../../lake/receive/mqtt/rules/schema.ts';
import {
  encodeWriteRequest,
  encodeWriteRequestV2,
  type WriteSeries,
} from '../../lake/receive/remote-write/encode.fixture.ts';
import { remoteWriteLimits } from '../../lake/receive/remote-write/limits.ts';
import { receiveRemoteWrite } from '../../lake/receive/remote-write/receive.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { decodeSnappy } from '../../lake/receive/snappy.ts';
import { noBirthStore } from '../../lake/receive/sparkplug/edge-nodes.ts';
import { sparkplugHost, sparkplugLimits } from '../../lake/receive/sparkplug/host.ts';
import { rebirthCommand } from '../../lake/receive/sparkplug/payload.ts';
import { sharedFolder } from '../harness/programs.ts';
import { checkBatch } from './check-batch.ts';
import { logDecoders } from './log-decoders.ts';

/** A decoder of bytes from outside. */
export interface FuzzedDecoder {
  readonly name: string;
  /** What real senders send. */
  readonly payloads: readonly Uint8Array[];
  /** Decodes and checks what comes out. Throws what `refuses` knows, or it is a bug. */
  readonly decode: (input: Uint8Array) => void;
  /** Whether an error is the decoder's way to refuse an input. */
  readonly refuses: (error: unknown) => boolean;
}

/** Series that are not durable yet go with their batch; a small cache forgets, as it must not grow. */
const newCache = () => createSeriesCache({ identity: [['site', 'plant']], cachedSeriesMax: 500 });
const never = (): boolean => false;
const nowUs = 1_770_000_000_000_000;

function corpus(folder: string, extension: string): Buffer[] {
  const path = join(sharedFolder ?? '', 'corpora', 'wire', folder);
  if (sharedFolder === undefined || !existsSync(path)) return [];
  return readdirSync(path)
    .filter((name) => name.endsWith(extension))
    .map((name) => readFileSync(join(path, name)));
}

const written: readonly WriteSeries[] = [
  {
    labels: [
      ['__name__', 'http_requests_total'],
      ['instance', '10.0.0.1:9100'],
      ['ünïcode', '✓'],
    ],
    samples: [
      [1_770_000_000_000, 1.5, 1_769_000_000_000],
      [1_770_000_015_000, 0x7ff0000000000002n],
    ],
    exemplars: [{ labels: [['trace_id', 'abcdef']], value: 1, timestampMs: 1_770_000_000_000 }],
    metadata: { type: 1, help: 'Requests.', unit: 'requests' },
  },
  {
    labels: [['__name__', 'latency']],
    samples: [],
    histograms: [
      {
        ...{ count_int: 12, sum: 18.4, schema: 1, zero_threshold: 0.001, zero_count_int: 2, timestamp: 1e12 },
        ...{ positive_spans: [[0, 2] as const, [1, 2] as const], positive_deltas: [1, 1, -1, 0] },
        ...{ negative_spans: [[0, 2] as const], negative_deltas: [2, 1], reset_hint: 3 },
      },
      {
        ...{ count_float: 7.5, sum: -1, schema: -53, positive_spans: [[0, 2] as const] },
        ...{ positive_counts: [2.5, 5], custom_values: [0.5], timestamp: 1e12, start_timestamp: 5 },
      },
    ],
  },
];

function writes(name: string, contentType: string, payloads: readonly Uint8Array[]): FuzzedDecoder {
  const cache = newCache();
  return {
    ...{ name, payloads, refuses: never },
    decode: (input) => {
      const body = compress(input);
      const headers = { contentType, contentEncoding: 'snappy' };
      const result = receiveRemoteWrite(headers, body, { cache, limits: remoteWriteLimits });
      if (!result.ok) return;
      checkBatch(result.metrics);
      checkBatch(result.exemplars);
    },
  };
}

const firstVersion = writes('remote write 1.0', 'application/x-protobuf', [
  encodeWriteRequest(written, [{ type: 2, name: 'up', help: 'Up', unit: '' }]),
  ...corpus('prom-remote-write', '.v1.pb'),
]);
const secondVersion = writes(
  'remote write 2.0',
  'application/x-protobuf;proto=io.prometheus.write.v2.Request',
  [encodeWriteRequestV2(written), ...corpus('prom-remote-write', '.v2.pb')],
);

const snappy: FuzzedDecoder = {
  name: 'snappy',
  payloads: [...firstVersion.payloads, Buffer.from('ab'.repeat(3000))].map((bytes) =>
    compress(Uint8Array.from(bytes)),
  ),
  decode: (input) => void decodeSnappy(input, 1024 * 1024),
  refuses: (error) => error instanceof FirnError,
};

const lines: FuzzedDecoder = {
  name: 'InfluxDB lines',
  payloads: [
    'cpu,host=a\\ b,dc=x usage=1.5,n=2i,u=3u,ok=t,s="a \\"b\\"" 1769999999123456789\nmem f=1\n',
    '# a comment\nweather,location=us-midwest temperature=82,humidity=71i 1465839830100400200\r\n\nm v=-1e-3\n',
  ].map((text) => Buffer.from(text)),
  decode: (() => {
    const cache = newCache();
    const streams = deviceStreams(cache);
    return (input: Uint8Array) => {
      const { metrics, logs } = readInfluxLines(
        Buffer.from(input).toString('utf8'),
        { unitNs: 1n, database: 'telegraf', receivedUs: nowUs },
        { cache, streams, limits: influxLimits, ownTime: () => ({ trusted: true, floorUs: 0 }) },
      );
      checkBatch(metrics);
      checkBatch(logs);
    };
  })(),
  refuses: (error) => error instanceof LineError || error instanceof FirnError,
};

function exposition(format: 'text' | 'openmetrics'): FuzzedDecoder {
  const own =
    '# HELP a_total Help \\n "x".\n# TYPE a_total counter\na_total{l="v\\"\\\\",z="ü"} 1.5e3 1770000000000\nb{le="+Inf"} NaN\n' +
    '# TYPE h histogram\nh_bucket{le="1"} 3\nh_bucket{le="+Inf"} 4\nh_sum 5\nh_count 4\n';
  const exemplar =
    '# TYPE c counter\nc_total{a="b"} 5 1770000000.5 # {trace_id="x"} 0.5 1770000000.1\n# EOF\n';
  return {
    name: `exposition, ${format}`,
    payloads: [
      Buffer.from(format === 'text' ? own : exemplar),
      ...corpus('openmetrics', '.txt').filter(
        (bytes) => bytes.includes('# EOF') === (format === 'openmetrics'),
      ),
    ],
    decode: (input) =>
      parseExposition(Buffer.from(input).toString('utf8'), format, {
        sample: (series, _, type) => void labelsOfSeries(series, format, type),
        describe: () => undefined,
      }),
    refuses: (error) => error instanceof ExpositionError,
  };
}

/** Payloads on one topic, by rules. */
function mqtt(
  name: string,
  payloads: readonly (string | Uint8Array)[],
  rules: readonly TopicRule[] = [],
  topic = 'plant/line1/press',
): FuzzedDecoder {
  const mapper = createMqttMapper({
    cache: newCache(),
    templates: [{ topic: '{plant}/{line}/{sensor}' }],
    rules,
  });
  const metrics = createMetricsBuilder();
  const logs = createLogsBuilder();
  return {
    ...{ name: `MQTT, ${name}`, payloads: payloads.map((payload) => Buffer.from(payload)), refuses: never },
    decode: (input) => {
      mapper.map({ topic, payload: input, receivedUs: nowUs }, metrics, logs);
      for (const batch of [metrics.finish(), logs.finish()] as Batch[]) checkBatch(batch);
    },
  };
}

const mqttRule = (name: string, payloads: readonly (string | Uint8Array)[], rule: RuleInput): FuzzedDecoder =>
  mqtt(name, payloads, compileRules([rule], mqttLimits));

const senml =
  '[{"bn":"urn:dev:ow:10e2073a01080063:","bt":1.77e9,"bu":"Cel","bv":20,"n":"temp","v":3.1},{"n":"on","vb":true},{"n":"s","vs":"x","t":-5}]';
const sparkplug = mqtt(
  'Sparkplug',
  [rebirthCommand(1_770_000_000_000)],
  [
    sparkplugHost({
      ...{ ...sparkplugLimits, valuesPerPayloadMax: mqttLimits.valuesPerPayloadMax },
      ...{ store: noBirthStore, askRebirth: () => undefined },
    }),
  ],
  'spBv1.0/G/NDATA/E',
);
const mqttDecoders: readonly FuzzedDecoder[] = [
  mqtt('no rules', [
    '21.5',
    '{"force": 12.5, "motor": {"rpm": 1480, "on": true}, "state": "ok", "list": [1, 2]}',
    '{"value": 7.2, "ts": "2026-01-31T12:00:00Z"}',
    '[{"n":"a","v":1,"ts":1770000000000},{"n":"b","v":2}]',
    'belt stopped',
  ]),
  mqttRule(
    'JSON by a rule',
    ['{"Time":"2026-01-31T12:00:00","DS18B20":{"Temperature":20.1},"POWER":"ON","E":[[1],[2]]}'],
    {
      ...{ topic: '#', time: { path: '$.Time', unit: 'iso', zone: 'Europe/Berlin' }, text: 'log' },
      metrics: [
        { value: '$', labelsFrom: '$.DS18B20' },
        { value: '$.E[*][*]', name: '{$.POWER}_{key}' },
      ],
    },
  ),
  mqttRule('SenML', [senml], { topic: '#', payload: 'senml' }),
  mqttRule(
    'SenML in CBOR',
    [
      encodeCbor(JSON.parse(senml)),
      encodeCbor([
        new Map<number, unknown>([
          [0, 'a'],
          [2, 1],
        ]),
      ]),
    ],
    {
      ...{ topic: '#', payload: 'senml-cbor' },
    },
  ),
  mqttRule(
    'CBOR',
    [encodeCbor({ a: { b: [1, 2.5], c: 2n ** 60n }, d: new Uint8Array(3), e: 'x', f: null })],
    {
      ...{ topic: '#', payload: 'cbor' },
    },
  ),
  mqttRule('gzip', [gzipSync('{"a":1,"b":{"c":true}}')], { topic: '#', payload: ['gzip', 'json'] }),
  sparkplug,
  mqttRule('text', ['12.3 °C', 'ON', '-1e3'], { topic: '#', payload: 'text', text: 'log' }),
];

export const decoders: readonly FuzzedDecoder[] = [
  firstVersion,
  secondVersion,
  snappy,
  lines,
  exposition('text'),
  exposition('openmetrics'),
  ...mqttDecoders,
  ...logDecoders,
];
