import { deflateSync, gzipSync } from 'node:zlib';
import { encode as encodeCbor } from 'cborg';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createMap, type Mapped, receivedUs } from '../mapper.fixture.ts';
import { mqttLimits } from '../mapper.ts';
import { compileRules } from './compile.ts';
import { compileJsonPath } from './json-path.ts';
import { ruleError } from './rule-error.ts';
import type { RuleInput } from './schema.ts';

const mapBy = (...rules: unknown[]) => createMap([], {}, undefined, compileRules(rules, mqttLimits));
/** `name{labels} value` for each metric. */
const samples = ({ metrics }: Mapped): string[] =>
  metrics.map(
    ({ labels: { __name__, ...labels }, value }) => `${__name__} ${JSON.stringify(labels)} ${value}`,
  );
const plain = { topicLabel: false } as const;

test.each<[string, unknown, string[]]>([
  ['$', 1, ['[] 1']],
  ['$.a.b', { a: { b: 2 } }, ['[] 2']],
  ["$['a b'][-1]", { 'a b': [1, 2] }, ['[] 2']],
  ['$.*.t', { x: { t: 1 }, y: { t: 2 }, z: 3 }, ['["x"] 1', '["y"] 2']],
  [
    "$[?@.n == 'p'].v",
    [
      { n: 'q', v: 1 },
      { n: 'p', v: 2 },
    ],
    ['["1"] 2'],
  ],
  ['$[?@.v >= 2].v', [{ v: 1 }, { v: 2 }, { v: '3' }], ['["1"] 2']],
  ['$[?@.v]', { a: { v: 0 }, b: {} }, ['["a"] {"v":0}']],
  ['$.__proto__', {}, []],
  ['$.constructor.name', {}, []],
])('%s of %j', (path, root, nodes) => {
  const found: string[] = [];
  const compiled = compileJsonPath(path, (why) => ruleError('rule', 'path', why));
  compiled.each(root, [], (node, keys) => found.push(`${JSON.stringify(keys)} ${JSON.stringify(node)}`));
  expect(found).toEqual(nodes);
});

test.each<[string, RuleInput, string, string | Uint8Array, string[]]>([
  [
    'named, typed and ignored levels',
    { ...plain, topic: 'plant/{line}/{machine:int}/_/+/#' },
    'plant/a/7/x/y/z/temp',
    '{"value":1}',
    ['temp {"line":"a","machine":"7"} 1'],
  ],
  [
    'a name of several levels',
    { ...plain, topic: 'z/{device#}/state' },
    'z/living/room/state',
    '{"t":1}',
    ['t {"device":"living/room"} 1'],
  ],
  ['the topic as a label', { topic: 'a/b' }, 'a/b', '{"t":true}', ['t {"topic":"a/b"} 1']],
  [
    'paths, templates, constants, scale',
    {
      ...plain,
      topic: 'm/{id}',
      labels: { plant: 'north', phase: '{$.phase}' },
      metrics: [
        { value: '$.u', name: 'volts_{id}', scale: 0.1, offset: 1 },
        { value: '$.x.i', labels: { core: '{{2}' } },
      ],
    },
    'm/3',
    '{"phase":"L1","u":2300,"x":{"i":"5"}}',
    [
      'volts_3 {"id":"3","phase":"L1","plant":"north"} 231',
      'i {"core":"{2}","id":"3","phase":"L1","plant":"north"} 5',
    ],
  ],
  [
    'arrays of readings',
    { ...plain, topic: 'r', items: '$.readings[*]', metrics: [{ value: '$.v', name: '{$.n}' }] },
    'r',
    '{"readings":[{"n":"a","v":1},{"n":"b b","v":"2"}]}',
    ['a {} 1', 'b_b {} 2'],
  ],
  [
    'wildcards as labels',
    {
      ...plain,
      topic: 'r',
      metrics: [{ value: '$[*][*]', name: 'p', labels: { outer: '{key1}', inner: '{key}' } }],
    },
    'r',
    '{"x":{"y":1,"z":[2]},"w":3}',
    ['p {"inner":"y","outer":"x"} 1'],
  ],
  [
    'a condition',
    { ...plain, topic: 'r', when: "$[?@ == 'never']", empty: 'ignore' },
    'r',
    '{"m":"x","v":1}',
    [],
  ],
  [
    'text with a unit',
    { ...plain, topic: 'r/{s}', payload: 'text', metrics: [{ name: 'temp', labels: { unit: '{unit}' } }] },
    'r/1',
    '12.3 °C',
    ['temp {"s":"1","unit":"°C"} 12.3'],
  ],
  [
    'words',
    { ...plain, topic: 'r/{s}', payload: 'text', metrics: [{ name: 'on', map: { Half: 0.5 } }] },
    'r/1',
    'half',
    ['on {"s":"1"} 0.5'],
  ],
  [
    'words that all know',
    { ...plain, topic: 'r', metrics: [{ value: '$' }] },
    'r',
    '{"door":"OPEN","lamp":"off","n":null,"t":"warm"}',
    ['door {} 1', 'lamp {} 0'],
  ],
  ['a number', { ...plain, topic: 'r/t', payload: 'number' }, 'r/t', ' 5e-1 ', ['t {} 0.5']],
  ['gzip', { ...plain, topic: 'r', payload: ['gzip', 'json'] }, 'r', gzipSync('{"a":1}'), ['a {} 1']],
  [
    'base64 of zlib',
    { ...plain, topic: 'r', payload: ['base64', 'zlib'] },
    'r',
    deflateSync('{"a":1}').toString('base64'),
    ['a {} 1'],
  ],
  ['hex of CBOR', { ...plain, topic: 'r', payload: ['hex', 'cbor'] }, 'r', 'a1 61 61 f9 3e00', ['a {} 1.5']],
  [
    'CBOR',
    { ...plain, topic: 'r', payload: 'cbor' },
    'r',
    encodeCbor({ a: { b: [1], c: 2n ** 60n } }),
    [`a_c {} ${2 ** 60}`],
  ],
  [
    'labels from members',
    { ...plain, topic: 'r', labelsFrom: '$.tags', metrics: [{ value: '$.f' }] },
    'r',
    '{"tags":{"a-b":"x","n":1},"f":{"g":1}}',
    ['f_g {"a_b":"x","n":"1"} 1'],
  ],
  [
    'InfluxDB line',
    { ...plain, topic: 'r', payload: 'influx' },
    'r',
    'cpu,host=a usage=1.5,value=2i\nmem,host=b free=3u 1700000000000000000',
    ['cpu_usage {"host":"a"} 1.5', 'cpu {"host":"a"} 2', 'mem_free {"host":"b"} 3'],
  ],
  [
    'SenML',
    { ...plain, topic: 'r', payload: 'senml' },
    'r',
    '[{"bn":"urn:dev:ow:10e2073a01080063:","bu":"Cel","bv":20,"n":"temp","v":3.1},{"n":"humid","u":"%RH","v":-19},{"n":"on","vb":true}]',
    [
      'temp {"device":"urn:dev:ow:10e2073a01080063"} 23.1',
      'humid {"device":"urn:dev:ow:10e2073a01080063"} 1',
      'on {"device":"urn:dev:ow:10e2073a01080063"} 1',
    ],
  ],
])('%s', (_, rule, topic, payload, expected) => {
  expect(samples(mapBy(rule)(topic, payload))).toEqual(expected);
});

test.each<[RuleInput['time'], string, number]>([
  [undefined, '{"ts":1700000001,"v":1}', 1_700_000_001_000_000],
  [false, '{"v":1}', receivedUs],
  ['$.at', '{"at":"2023-11-14T22:13:20Z","v":1}', 1_700_000_000_000_000],
  [{ path: '$.at', unit: 'ms' }, '{"at":"1700000000123","v":1}', 1_700_000_000_123_000],
  [{ path: '$.at', unit: 's' }, '{"at":1700000000.5,"v":1}', 1_700_000_000_500_000],
  [{ path: '$.at', unit: 'us' }, '{"at":1700000000000001,"v":1}', 1_700_000_000_000_001],
  [{ path: '$.at', unit: 'ns' }, '{"at":1700000000000001024,"v":1}', 1_700_000_000_000_001],
  [
    { path: '$.at', unit: 'iso', zone: 'Europe/Berlin' },
    '{"at":"2023-07-01T12:00:00","v":1}',
    Date.UTC(2023, 6, 1, 10) * 1000,
  ],
  [
    { path: '$.at', unit: 'iso', zone: 'Europe/Berlin' },
    '{"at":"2022-12-01 12:00:00.25","v":1}',
    Date.UTC(2022, 11, 1, 11, 0, 0, 250) * 1000,
  ],
  [
    { path: '$.at', zone: 'America/New_York' },
    '{"at":"2022-12-01T12:00:00+01:00","v":1}',
    Date.UTC(2022, 11, 1, 11) * 1000,
  ],
  [{ path: '$.at', unit: 'iso', zone: 'America/New_York' }, '{"v":1}', receivedUs],
])('time %j of %s', (time, payload, expected) => {
  const { metrics } = mapBy({ topic: 'a', ...(time !== undefined && { time }) })('a', payload);
  expect(metrics.map(({ timestampUs }) => timestampUs)).toEqual([expected]);
});

test('the first rule that matches wins, and what matches none is mapped as ever', () => {
  const map = mapBy(
    { topic: 'a/secret', action: 'ignore' },
    { topic: 'a/{x}', labels: { rule: '2' } },
    { topic: 'a/+' },
  );
  expect(map('a/secret', '1').outcome).toBe('ignored');
  expect(samples(map('a/b', '{"v":1}'))).toEqual(['v {"rule":"2","topic":"a/b","x":"b"} 1']);
  expect(samples(map('b/temp', '1'))).toEqual(['temp {"topic":"b/temp"} 1']);
  expect(samples(mapBy({ topic: '#' })('$other/a', '{"v":1}'))).toEqual(['v {"topic":"$other/a"} 1']);
});

test('text becomes log lines where a rule says so', () => {
  const map = mapBy({
    topic: 'a/{x}',
    text: 'log',
    logs: [{ line: '$.alarm', severity: '{$.level}', labels: { kind: 'alarm' } }],
    metrics: [{ value: '$', skip: ['alarm', 'level'] }],
  });
  const { logs, metrics } = map('a/b', '{"state":"warm","alarm":{"code":7},"level":"error","v":1}');
  expect(metrics).toHaveLength(1);
  expect(logs.map(({ line }) => line)).toEqual(['warm', '{"code":7}']);
  expect(logs.map(({ labels }) => labels)).toEqual([
    { field: 'state', service_name: 'mqtt', source: 'mqtt', topic: 'a/b', x: 'b' },
    { kind: 'alarm', service_name: 'mqtt', source: 'mqtt', topic: 'a/b', x: 'b' },
  ]);
});

test('units and types are kept as metadata, once', () => {
  const map = mapBy(
    { topic: 't', payload: 'senml' },
    { topic: 'u', metrics: [{ value: '$.a', unit: 'bar', type: 'counter' }] },
  );
  expect(map('t', '[{"n":"x","u":"Cel","v":1}]').units).toEqual([['x', 'Cel', 'gauge']]);
  expect(map('t', '[{"n":"x","u":"Cel","v":2}]').units).toEqual([]);
  expect(map('u', '{"a":1}').units).toEqual([['a', 'bar', 'counter']]);
});

test.each<[string, RuleInput, string | Uint8Array]>([
  ['bad-json', { topic: 'a' }, '{"a":'],
  ['bad-payload', { topic: 'a', payload: ['gzip', 'json'] }, 'no gzip'],
  ['too-large', { topic: 'a', payload: ['gzip', 'json'] }, gzipSync(Buffer.alloc(20_000_000))],
  ['bad-payload', { topic: 'a', payload: 'cbor' }, Buffer.alloc(100_000, 0x81)],
  ['bad-payload', { topic: 'a', payload: 'senml' }, '[{"n":"a","v":1,"need_":1}]'],
  ['bad-payload', { topic: 'a', payload: 'influx' }, 'cpu'],
  ['bad-timestamp', { topic: 'a', time: '$.at' }, '{"at":"noon","v":1}'],
  ['no-value', { topic: 'a', metrics: [{ value: '$.x' }] }, '{"v":1}'],
  ['not-utf8', { topic: 'a', payload: 'text' }, Buffer.from([0xff])],
  ['too-deep', { topic: 'a' }, `${'{"a":'.repeat(20)}1${'}'.repeat(20)}`],
])('%s is set aside', (reason, rule, payload) => {
  const { outcome, logs, metrics } = mapBy(rule)('a', payload);
  expect([outcome, metrics.length, logs.map(({ labels }) => labels.reason)]).toEqual([
    'dead-letter',
    0,
    [reason],
  ]);
});

test('a retained message of a subscription is not stamped as new', () => {
  const map = mapBy({ topic: 'a/{x}' });
  expect(map('a/b', '{"v":1}', true).outcome).toBe('ignored');
  expect(map('other', '1', true).outcome).toBe('ignored');
  for (const topic of ['a/b', 'other'])
    expect(map(topic, '{"ts":1690000000,"v":1}', true).metrics.map(({ timestampUs }) => timestampUs)).toEqual(
      [1.69e15],
    );
});

test.each<[unknown, string]>([
  [7, 'rule 1: rule:'],
  [{ name: 'x', topic: '' }, 'rule 1 (x): topic:'],
  [{ topic: 'a/{b' }, 'rule 1: topic: level "{b" is not known'],
  [{ topic: 'a/{b:date}' }, 'rule 1: topic: {b:date} has the type date'],
  [{ topic: '{a}/{a}' }, '{a} is there twice'],
  [{ topic: '#/a' }, '# is not the last level'],
  [{ topic: '{a#}/{b#}' }, 'more than one of its parts'],
  [{ topic: ['{a}/x', 'x/{b}'] }, 'its topics name different levels'],
  [{ topic: 'a', payload: ['json', 'gzip', 'json'] }, 'payload: only its last part can be a format'],
  [{ topic: 'a', payload: 'xml' }, 'rule 1: payload: write one, or a list of up to five, of gzip, '],
  [{ topik: 'a' }, 'rule 1: rule: Unrecognized key: "topik"'],
  [{ action: 'ignore' }, 'rule 1: topic: write a topic'],
  [{ topic: 'a', time: { path: '$.t', unit: 'h' } }, 'unit is one of auto, s, '],
  [{ topic: 'a', metrics: [{}, { value: 'temp' }] }, 'metrics[1].value: "temp" is no JSONPath'],
  [{ topic: 'a', metrics: [{ value: '$..a' }] }, '.. is not in the JSONPath'],
  [{ topic: 'a', metrics: [{ value: '$.a[' }] }, 'is no JSONPath that rules know, at character 5'],
  [{ topic: 'a', metrics: [{ name: '{oops}' }] }, 'metrics[0].name: {oops} is not known here'],
  [{ topic: 'a', metrics: [{ nmae: 'x' }] }, 'metrics[0]: Unrecognized key: "nmae"'],
  [{ topic: 'a', labels: { 'a-b': 'x' } }, 'labels.a-b: a label name has letters'],
  [{ topic: 'a', labels: { b: '{$.x' } }, 'labels.b: a { in "{$.x" is not closed'],
  [{ topic: 'a', time: { path: '$.t', zone: 'Mars/Base' } }, 'time.zone: zone "Mars/Base" is not known'],
  [{ preset: 'tasmotta' }, 'rule 1 (tasmotta): preset'],
])('%j is refused', (rule, message) => {
  expect(() => compileRules([rule], mqttLimits)).toThrow(message);
});

test('any payload by any rule is stored, ignored or set aside whole', () => {
  const formats = ['json', 'text', 'number', 'senml', 'senml-cbor', 'influx', 'cbor'] as const;
  const map = mapBy(
    ...formats.map((format) => ({ topic: `plain/${format}`, payload: format })),
    ...formats.map((format) => ({ topic: `gzip/${format}`, payload: ['gzip', format] })),
  );
  const seeds = [
    '[{"bn":"urn:dev:","bt":1.7e9,"bu":"Cel","n":"t","v":3.1},{"n":"h","vs":"x"}]',
    'cpu,host=a usage=1.5,s="x" 1700000000000000000',
    encodeCbor([
      { '-2': 'dev:', 0: 't', 2: 1 },
      { a: 2n ** 60n, b: new Uint8Array(3) },
    ]),
  ].map((seed) => Buffer.from(seed));
  const mutated = fc
    .tuple(fc.constantFrom(...seeds), fc.array(fc.tuple(fc.nat(90), fc.nat(255)), { maxLength: 4 }))
    .map(([seed, changes]) => {
      const bytes = Buffer.from(seed);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      return bytes;
    });
  fc.assert(
    fc.property(fc.constantFrom(...formats), mutated, (format, payload) => {
      for (const [topic, bytes] of [
        [`plain/${format}`, payload],
        [`gzip/${format}`, gzipSync(payload)],
      ] as const) {
        const { outcome, metrics, logs } = map(topic, bytes);
        if (outcome === 'dead-letter') expect([metrics.length, logs.length]).toEqual([0, 1]);
        if (outcome === 'ignored') expect([metrics.length, logs.length]).toEqual([0, 0]);
      }
    }),
    { seed: 7, numRuns: 2000 },
  );
});
