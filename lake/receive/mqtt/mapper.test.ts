import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createMap, type Labelled, type Mapped, receivedUs } from './mapper.fixture.ts';
import { type MqttLimits, mqttLimits } from './mapper.ts';
import { compileRules } from './rules/compile.ts';
import type { TopicTemplate } from './templates.ts';

const map = createMap();
const values = ({ metrics }: Mapped) => metrics.map(({ labels, value }) => [labels.__name__, value]);

test.each<[string, string, [string, number][]]>([
  ['plant/line1/temperature', '21.5', [['temperature', 21.5]]],
  ['plant/line1/temperature', ' -1e3\n', [['temperature', -1000]]],
  ['plant/line1/temperature', '.5', [['temperature', 0.5]]],
  ['plant/line1/temperature', 'nan', [['temperature', Number.NaN]]],
  ['plant/line1/temperature', '-Infinity', [['temperature', Number.NEGATIVE_INFINITY]]],
  ['plant/line1/running', 'true', [['running', 1]]],
  ['plant/line1/running', 'false', [['running', 0]]],
  [
    'plant/line1/sensor3',
    '{"temperature":21.5,"humidity":40}',
    [
      ['temperature', 21.5],
      ['humidity', 40],
    ],
  ],
  [
    'plant/line1/sensor3',
    '{"motor":{"rpm":1,"on":true},"unit":"C","x":null,"list":[1]}',
    [
      ['motor_rpm', 1],
      ['motor_on', 1],
    ],
  ],
  ['plant/line1/temperature', '{"value":3}', [['temperature', 3]]],
  ['plant/line1/s', '{"value":{"a":3}}', [['value_a', 3]]],
  [
    'plant/line1/s',
    '{"a":{"value":3,"ts":4}}',
    [
      ['a_value', 3],
      ['a_ts', 4],
    ],
  ],
  [
    'plant/line1/s',
    '[{"a":1},{"a":2}]',
    [
      ['a', 1],
      ['a', 2],
    ],
  ],
  ['plant/line1/s', '{"a":1,"a":2}', [['a', 2]]],
  ['plant/line1/s', '{"a":1e999}', [['a', Number.POSITIVE_INFINITY]]],
  [
    'plant/line1/s',
    '{"__proto__":5,"":6,"1 µm/°C":7}',
    [
      ['__proto__', 5],
      ['s', 6],
      ['_1__m__C', 7],
    ],
  ],
  ['plant/line 1/3-phase/', '7', [['_3_phase', 7]]],
  ['/', '7', [['_', 7]]],
])('%s %s', (topic, payload, expected) => {
  const mapped = map(topic, payload);
  expect(values(mapped)).toEqual(expected);
  expect(mapped.outcome).toBe('stored');
  expect(mapped.logs).toEqual([]);
  for (const { labels, timestampUs } of mapped.metrics) {
    expect(labels).toEqual({ __name__: labels.__name__, topic });
    expect(timestampUs).toBe(receivedUs);
  }
});

test.each<[string, number]>([
  ['1700000000', 1_700_000_000_000_000],
  ['1700000000.25', 1_700_000_000_250_000],
  ['1700000000123', 1_700_000_000_123_000],
  ['1700000000123456', 1_700_000_000_123_456],
  ['1700000000123456000', 1_700_000_000_123_456],
  ['"1700000000"', 1_700_000_000_000_000],
  ['"2023-11-14T22:13:20Z"', 1_700_000_000_000_000],
  ['"2023-11-14T22:13:20"', 1_700_000_000_000_000],
  ['"2023-11-14 22:13"', 1_699_999_980_000_000],
  ['"2023-11-14T23:43:20.123456789+01:30"', 1_700_000_000_123_456],
  ['"2023-11-14T14:13:20,5-0800"', 1_700_000_000_500_000],
  ['"2023-11-14T14:13:20-08"', 1_700_000_000_000_000],
  ['null', receivedUs],
])('"ts": %s', (ts, timestampUs) => {
  for (const name of ['ts', 'timestamp', 'time']) {
    const mapped = map('a/b', `{"value":1,"${name}":${ts}}`);
    expect(mapped.metrics).toEqual([{ labels: { __name__: 'b', topic: 'a/b' }, value: 1, timestampUs }]);
    expect(mapped.doubts).toEqual([]);
  }
});

const second = 1_000_000;
const hour = 3600 * second;
const year = 365 * 24 * hour;

test.each<[string, string, number | null]>([
  ['0', 'device-past', 0],
  ['-5', 'device-past', -5 * second],
  ['"1999-12-31T23:59:59Z"', 'device-past', 946_684_799 * second],
  ['946684799', 'device-past', 946_684_799 * second],
  ['1700003601', 'device-future', 1_700_003_601 * second],
  ['4102444800', 'device-future', 4_102_444_800 * second],
  ['"2300-01-01T00:00:00Z"', 'device-future', 10_413_792_000 * second],
  ['9e18', 'device-future', 9e15],
  ['1e300', 'device-future', null],
])('"ts": %s can not be: %s, kept beside the time of receipt', (ts, quality, deviceUs) => {
  const mapped = map('a/b', `{"value":1,"ts":${ts}}`);
  expect(mapped.metrics).toMatchObject([{ value: 1, timestampUs: receivedUs }]);
  expect(mapped.doubts).toEqual([[quality, deviceUs]]);
  const line = map('a/b', `{"state":"open","ts":${ts}}`);
  expect(line.logs).toMatchObject([{ timestampNs: BigInt(receivedUs) * 1000n }]);
  expect(line.doubts).toEqual([[quality, deviceUs]]);
});

test.each(['946684800', '1700003600', '1700000000'])('"ts": %s can be', (ts) => {
  const mapped = map('a/b', `[{"value":1,"ts":${ts}},{"value":2}]`);
  expect(mapped.metrics.map(({ timestampUs }) => timestampUs)).toEqual([Number(ts) * second, receivedUs]);
  expect(mapped.doubts).toEqual([]);
});

test('a gateway that does not know the time itself believes its devices', () => {
  // Its clock says 2023; it was made in 2026, and the devices say 2030, 2035 and 2040.
  const floorUs = receivedUs + 3 * year;
  const unsure = createMap([], {}, { trusted: false, floorUs });
  for (const [years, quality] of [
    [7, null],
    [12, null],
    [17, 'device-future'],
  ] as const) {
    const deviceUs = receivedUs + years * year;
    const mapped = unsure('a/b', `{"value":1,"ts":${deviceUs / second}}`);
    expect(mapped.doubts).toEqual(quality === null ? [] : [[quality, deviceUs]]);
    expect(mapped.metrics[0]?.timestampUs).toBe(quality === null ? deviceUs : receivedUs);
  }
  expect(unsure('a/b', '{"value":1,"ts":0}').doubts).toEqual([['device-past', 0]]);
});

test.each<[string, string | Uint8Array]>([
  ['bad-json', '{"a":'],
  ['bad-json', '[21.5'],
  ['no-value', '{}'],
  ['no-value', '[]'],
  ['no-value', '{"a":null}'],
  ['no-value', '{"ts":1700000000}'],
  ['no-value', '[1,2]'],
  ['no-value', '[{"a":1},{}]'],
  ['bad-timestamp', '{"value":1,"ts":"yesterday"}'],
  ['bad-timestamp', '{"value":1,"ts":1e999}'],
  ['bad-timestamp', '{"value":1,"ts":true}'],
  ['bad-timestamp', '{"value":1,"ts":{}}'],
  ['bad-timestamp', '{"value":1,"time":"2023-13-45T00:00:00Z"}'],
  ['bad-timestamp', '[{"value":1},{"value":1,"ts":"x"}]'],
  ['not-utf8', Uint8Array.of(0xff, 0xfe, 1)],
  ['binary', Uint8Array.of(65, 0, 66)],
  ['too-deep', `${'{"a":'.repeat(20)}1${'}'.repeat(20)}`],
])('dead letter %s: %s', (reason, payload) => {
  const mapped = map('a/b', payload);
  const text = typeof payload === 'string' ? payload : Buffer.from(payload).toString('base64');
  expect(mapped).toEqual({
    outcome: 'dead-letter',
    units: [],
    doubts: [],
    metrics: [],
    logs: [
      {
        labels: { service_name: 'mqtt', source: 'mqtt', stream: 'dead-letter', reason, topic: 'a/b' },
        line: text,
        timestampNs: BigInt(receivedUs) * 1000n,
      },
    ],
  });
});

test.each<[Partial<MqttLimits>, string, string, string]>([
  [{ payloadBytesMax: 10 }, '12345678901', 'too-large', '12345678901'],
  [{ valuesPerPayloadMax: 1 }, '{"a":1,"b":2}', 'too-many-values', '{"a":1,"b":2}'],
  [{ metricNameBytesMax: 3 }, '{"abcd":1}', 'name-too-long', '{"abcd":1}'],
  [{ deadLetterBytesMax: 5 }, '{äöü', 'bad-json', '{äö'],
  [{ deadLetterBytesMax: 4 }, '{äöü', 'bad-json', '{ä'],
])('limit %j', (limits, payload, reason, line) => {
  const mapped = createMap([], limits)('a/b', payload);
  expect(mapped.outcome).toBe('dead-letter');
  expect(mapped.logs).toMatchObject([{ labels: { reason }, line }]);
});

test.each([
  ['hello world', 'hello world'],
  [' 12.3 C\n', ' 12.3 C\n'],
  ['ON', 'ON'],
  ['"21"', '"21"'],
  ['{"state":"open","ts":1700000001}', '{"state":"open","ts":1700000001}'],
])('text %j is a log row', (payload, line) => {
  const mapped = map('a/b', payload);
  const at = payload.includes('ts') ? 1_700_000_001_000_000n : BigInt(receivedUs);
  expect(mapped).toEqual({
    outcome: 'stored',
    units: [],
    doubts: [],
    metrics: [],
    logs: [{ labels: { service_name: 'mqtt', source: 'mqtt', topic: 'a/b' }, line, timestampNs: at * 1000n }],
  });
});

test.each([
  ['a/b', ''],
  ['a/b', ' '],
  ['$SYS/broker/load', '1'],
])('%s %j is ignored', (topic, payload) => {
  expect(map(topic, payload)).toEqual({ outcome: 'ignored', units: [], doubts: [], metrics: [], logs: [] });
});

const templates: TopicTemplate[] = [
  { topic: 'shellies/{device}/relay/{channel}/power', metric: 'relay_power_watts' },
  { topic: 'meters/{meter}/#', metric: 'meter', labels: { kind: 'meter' } },
  { topic: 'byname/{what}/+', metric: '{what}_total' },
  { topic: '{plant}/{line}/{sensor}' },
];
test.each<[string, string, Labelled]>([
  ['p/l/s', '{"t":1}', { __name__: 't', plant: 'p', line: 'l', sensor: 's' }],
  ['p/l/s', '1', { __name__: 's', plant: 'p', line: 'l', sensor: 's' }],
  ['p/l/s/more', '1', { __name__: 'more' }],
  ['p//s', '1', { __name__: 's', plant: 'p', sensor: 's' }],
  ['$aws/l/s', '1', { __name__: 's' }],
  ['shellies/d/relay/0/power', '1', { __name__: 'relay_power_watts', device: 'd', channel: '0' }],
  ['meters/m', '1', { __name__: 'meter', meter: 'm', kind: 'meter' }],
  ['meters/m/x/y', '{"l1":1}', { __name__: 'meter_l1', meter: 'm', kind: 'meter' }],
  ['byname/bolts/x', '1', { __name__: 'bolts_total', what: 'bolts' }],
])('template: %s %s', (topic, payload, labels) => {
  const mapped = createMap(templates)(topic, payload);
  expect(mapped.metrics.map((row) => row.labels)).toEqual([{ ...labels, topic }]);
});

test('template labels are on log streams too', () => {
  expect(createMap(templates)('p/l/s', 'text').logs[0]?.labels).toEqual({
    service_name: 'mqtt',
    source: 'mqtt',
    topic: 'p/l/s',
    plant: 'p',
    line: 'l',
    sensor: 's',
  });
});

test.each<[TopicTemplate, RegExp]>([
  [{ topic: 'a/{1x}' }, /mqtt\.templates\[0\]\.topic: "1x" is not a label name/],
  [{ topic: 'a/{topic}' }, /the label topic is set by the mapping/],
  [{ topic: 'a/x{b}' }, /"x\{b\}" must be/],
  [{ topic: 'a/#/b' }, /"#" must be/],
  [{ topic: '{a}/{a}' }, /\{a\} is there twice/],
  [{ topic: '{a}', metric: '{b}' }, /\.metric: \{b\} is not a segment/],
  [{ topic: 'a', labels: { 'b-c': '1' } }, /\.labels: "b-c" is not a label name/],
])('template %j is refused', (template, message) => {
  expect(() => createMap([template])).toThrow(message);
});

test('topics and paths that look alike when joined stay apart', () => {
  const same = createMap();
  expect(same('a', '{"b/c":1}').metrics[0]?.labels).toEqual({ __name__: 'b_c', topic: 'a' });
  expect(same('ab/c', '{"value":1}').metrics[0]?.labels).toEqual({ __name__: 'c', topic: 'ab/c' });
  expect(same('a', '{"b":{"c":1}}').metrics[0]?.labels).toEqual({ __name__: 'b_c', topic: 'a' });
});

test('mappings of more than topicsCachedMax topics are right too', () => {
  const small = createMap(templates, { topicsCachedMax: 2 });
  for (let n = 0; n < 20; n++) expect(small(`p${n % 5}/l/s`, '1').metrics[0]?.labels.plant).toBe(`p${n % 5}`);
});

test('any payload on any topic is stored, ignored or set aside whole', () => {
  const payload = fc.oneof(
    fc.uint8Array(),
    fc.json().map((text) => Buffer.from(text)),
    fc.tuple(fc.json(), fc.nat({ max: 50 })).map(([text, length]) => Buffer.from(text.slice(0, length))),
  );
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), payload, (topic, bytes) => {
      const mapped = map(topic, bytes);
      const rows = mapped.metrics.length + mapped.logs.length;
      if (mapped.outcome === 'ignored') expect(rows).toBe(0);
      if (mapped.outcome === 'dead-letter')
        expect([mapped.metrics.length, mapped.logs.length]).toEqual([0, 1]);
      if (mapped.outcome === 'stored') expect(rows).toBeGreaterThan(0);
      for (const { labels } of mapped.metrics) expect(labels.__name__).toMatch(/^[a-zA-Z_:][a-zA-Z0-9_:]*$/);
    }),
    { numRuns: 1000 },
  );
});

test('labels beyond their limits set a message aside, what fits of it is stored', () => {
  const long = `plant/${'x'.repeat(20_000)}`;
  const { outcome, metrics, logs } = map(long, '5');
  expect({ outcome, metrics }).toEqual({ outcome: 'dead-letter', metrics: [] });
  expect(logs).toMatchObject([
    {
      labels: { service_name: 'mqtt', source: 'mqtt', stream: 'dead-letter', reason: 'labels-too-large' },
      line: '5',
    },
  ]);
  const byRule = createMap(
    [],
    {},
    undefined,
    compileRules(
      [{ topic: 'r', metrics: [{ value: '$.v', labels: { who: '{$.who}' } }, { value: '$.w' }] }],
      mqttLimits,
    ),
  );
  const partly = byRule('r', JSON.stringify({ v: 1, w: 2, who: 'x'.repeat(20_000) }));
  expect(values(partly)).toEqual([['w', 2]]);
  expect(partly.logs).toMatchObject([{ labels: { reason: 'labels-too-large', topic: 'r' } }]);
});
