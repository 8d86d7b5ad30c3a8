import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createMap, type Mapped, receivedUs } from '../mqtt/mapper.fixture.ts';
import type { BirthStore } from './edge-nodes.ts';
import { sparkplugHost } from './host.ts';
import { get, type UPayload } from './payload.fixture.ts';
import { readSparkplugPayload, rebirthCommand } from './payload.ts';

const at = 1_699_999_000_000;
const encode = (payload: object): Uint8Array =>
  get().encodePayload({ timestamp: at, ...payload } as UPayload);
/** Tahu's encoder knows no arrays: they are bytes of another datatype. */
function encodeArray(name: string, datatype: number, bytes: Uint8Array): Uint8Array {
  const encoded = Buffer.from(encode({ seq: 1, metrics: [{ name, type: 'Bytes', value: bytes }] }));
  encoded[encoded.indexOf(Buffer.of(0x20, 17)) + 1] = datatype;
  return encoded;
}
const bdSeq = (value: number) => ({ name: 'bdSeq', type: 'UInt64', value });

function memoryStore(): BirthStore & { readonly births: Map<string, string> } {
  const births = new Map<string, string>();
  return {
    births,
    load: () => [...births],
    save: (key, birth) => void births.set(key, birth),
    remove: (key) => void births.delete(key),
  };
}

function open(store: BirthStore = memoryStore(), metricsMax = 1000) {
  const asked: string[] = [];
  const rule = sparkplugHost({
    ...{ store, rebirthIntervalMs: 1000, valuesPerPayloadMax: 1000, metricsMax },
    askRebirth: (group, edge, why) => asked.push(`${group}/${edge} ${why}`),
  });
  const map = createMap([], {}, undefined, [rule]);
  const send = (topic: string, payload: object): Mapped => map(`spBv1.0/${topic}`, encode(payload));
  return { asked, map, send };
}

/** `name{device,…} value`, with NaN for stale markers; without what is said of being online. */
const samples = ({ metrics }: Mapped): string[] =>
  metrics
    .filter(({ labels }) => labels.__name__ !== 'sparkplug_online')
    .map(
      ({ labels: { __name__, group, edge_node, metric, ...rest }, value }) =>
        `${__name__} ${Object.values(rest).join()} ${value}`,
    );
const isOnline = ({ metrics }: Mapped): number[] =>
  metrics.filter(({ labels }) => labels.__name__ === 'sparkplug_online').map(({ value }) => value);

const nodeBirth = (metrics: object[] = [], seq = 0, session = 3) => ({
  seq,
  metrics: [bdSeq(session), ...metrics],
});
const temperature = { name: 'Temp', alias: 7, type: 'Float', value: 1.5 };

test('a birth names what data has only aliases for', () => {
  const { send, asked } = open();
  const born = send(
    'G/NBIRTH/E',
    nodeBirth([{ name: 'Node Control/Rebirth', type: 'Boolean', value: false }, temperature]),
  );
  expect(born.metrics.map(({ labels }) => labels)).toEqual([
    { __name__: 'Temp', edge_node: 'E', group: 'G', metric: 'Temp' },
    { __name__: 'sparkplug_online', edge_node: 'E', group: 'G' },
  ]);
  send('G/DBIRTH/E/D', {
    seq: 1,
    metrics: [
      {
        name: 'a/b c',
        alias: 8,
        type: 'Int32',
        value: -5,
        properties: { engUnit: { type: 'String', value: 'bar' } },
      },
    ],
  });
  expect(
    samples(
      send('G/DDATA/E/D', { seq: 2, metrics: [{ alias: 8, type: 'Int32', value: -6, timestamp: at + 5 }] }),
    ),
  ).toEqual(['a_b_c D -6']);
  expect(samples(send('G/NDATA/E', { seq: 3, metrics: [{ alias: 7, type: 'Float', value: 2.5 }] }))).toEqual([
    'Temp  2.5',
  ]);
  expect(asked).toEqual([]);
});

test('units are metadata, times are the metric’s own, historical ones too', () => {
  const { send } = open();
  const unit = { engUnit: { type: 'String', value: 'bar' } };
  const born = send(
    'G/NBIRTH/E',
    nodeBirth([
      { ...temperature, properties: unit },
      { name: 'H', type: 'Int8', value: 1, timestamp: at - 90_000, isHistorical: true },
    ]),
  );
  expect(born.units).toEqual([['Temp', 'bar', 'gauge']]);
  const laterMs = ({ metrics }: Mapped) => metrics.map(({ timestampUs }) => timestampUs / 1000 - at);
  expect(laterMs(born)).toEqual([0, -90_000, 0]);
  const own = { name: 'x', type: 'Int8', value: 1, timestamp: at + 5 };
  const without = { name: 'y', type: 'Int8', value: 1 };
  const timestamp = at + 2000;
  for (const [seq, type] of ['DBIRTH/E/D', 'DDATA/E/D', 'NDATA/E'].entries())
    expect(
      laterMs(send(`G/${type}`, { seq: seq + 1, timestamp, metrics: [own, without] })).slice(0, 2),
    ).toEqual([5, 2000]);
});

test.each([
  ['Int8', -128, -128],
  ['Int16', -3, -3],
  ['Int32', -2_147_483_648, -2_147_483_648],
  ['Int64', -5, -5],
  ['UInt8', 255, 255],
  ['UInt16', 65_535, 65_535],
  ['UInt32', 4_294_967_295, 4_294_967_295],
  ['UInt64', 9_007_199_254_740_991, 9_007_199_254_740_991],
  ['Float', 0.5, 0.5],
  ['Double', 1e300, 1e300],
  ['Boolean', true, 1],
  ['DateTime', at, at / 1000],
])('%s %s', (type, value, expected) => {
  const { send } = open();
  expect(samples(send('G/NBIRTH/E', nodeBirth([{ name: 'x', type, value }])))).toEqual([`x  ${expected}`]);
});

test.each(['String', 'Text', 'UUID'])('%s is a log line', (type) => {
  const { logs } = open().send('G/NBIRTH/E', nodeBirth([{ name: 's', type, value: 'hello' }]));
  expect(logs.map(({ labels, line }) => [labels, line])).toEqual([
    [{ edge_node: 'E', group: 'G', metric: 's', service_name: 'sparkplug', source: 'sparkplug' }, 'hello'],
  ]);
});

test.each<[string, number, Buffer, number[]]>([
  ['Int8Array', 22, Buffer.of(0xff, 2), [-1, 2]],
  ['Int16Array', 23, Buffer.from(Int16Array.of(-300, 2).buffer), [-300, 2]],
  ['Int32Array', 24, Buffer.from(Int32Array.of(-70_000).buffer), [-70_000]],
  ['Int64Array', 25, Buffer.from(BigInt64Array.of(-5n).buffer), [-5]],
  ['UInt8Array', 26, Buffer.of(0xff), [255]],
  ['UInt16Array', 27, Buffer.from(Uint16Array.of(65_535).buffer), [65_535]],
  ['UInt32Array', 28, Buffer.from(Uint32Array.of(4_294_967_295).buffer), [4_294_967_295]],
  ['UInt64Array', 29, Buffer.from(BigUint64Array.of(5n).buffer), [5]],
  ['FloatArray', 30, Buffer.from(Float32Array.of(0.5, -1).buffer), [0.5, -1]],
  ['DoubleArray', 31, Buffer.from(Float64Array.of(1e200).buffer), [1e200]],
  ['BooleanArray', 32, Buffer.of(3, 0, 0, 0, 0b1010_0000), [1, 0, 1]],
  ['DateTimeArray', 34, Buffer.from(BigInt64Array.of(1500n).buffer), [1.5]],
])('%s', (_, datatype, bytes, values) => {
  const born = open().map('spBv1.0/G/NBIRTH/E', encodeArray('x', datatype, bytes));
  expect(samples(born)).toEqual(values.map((value, index) => `x ${index} ${value}`));
});

test('a StringArray is a log line', () => {
  const born = open().map('spBv1.0/G/NBIRTH/E', encodeArray('x', 33, Buffer.from('ABC\0hello\0')));
  expect(born.logs.map(({ line }) => line)).toEqual(['["ABC","hello"]']);
});

test('data sets are log lines, templates are flattened, bytes are left out', () => {
  const { send } = open();
  const dataSet = {
    numOfColumns: 2,
    columns: ['c', 'd'],
    types: ['Int8', 'String'],
    rows: [
      [1, 'x'],
      [-2, 'y'],
    ],
  };
  const member = (value: number) => ({
    isDefinition: false,
    templateRef: 'Motor',
    version: '1',
    metrics: [{ name: 'rpm', type: 'Int32', value }],
    parameters: [],
  });
  const born = send(
    'G/NBIRTH/E',
    nodeBirth([
      { name: 'set', type: 'DataSet', value: dataSet },
      { name: 'Motor', type: 'Template', value: { ...member(0), isDefinition: true, templateRef: '' } },
      { name: 'M1', alias: 4, type: 'Template', value: member(900) },
      { name: 'b', type: 'Bytes', value: new Uint8Array(3) },
    ]),
  );
  expect(samples(born)).toEqual(['M1_rpm  900']);
  expect(born.logs.map(({ line }) => JSON.parse(line))).toEqual([
    {
      columns: ['c', 'd'],
      rows: [
        [1, 'x'],
        [-2, 'y'],
      ],
    },
  ]);
  expect(
    samples(send('G/NDATA/E', { seq: 1, metrics: [{ alias: 4, type: 'Template', value: member(905) }] })),
  ).toEqual(['M1_rpm  905']);
});

test('null and death are stale markers, and the dead are offline', () => {
  const { send, map } = open();
  send('G/NBIRTH/E', nodeBirth([temperature]));
  send('G/DBIRTH/E/D', { seq: 1, metrics: [{ name: 'x', type: 'Int8', value: 1 }] });
  send('G/DBIRTH/E/D2', { seq: 2, metrics: [{ name: 'y', type: 'Int8', value: 1 }] });
  expect(
    samples(send('G/DDATA/E/D', { seq: 3, metrics: [{ name: 'x', type: 'Int8', value: null }] })),
  ).toEqual(['x D NaN']);
  const dead = send('G/DDEATH/E/D', { seq: 4, timestamp: at + 1000 });
  expect(samples(dead)).toEqual(['x D NaN']);
  expect(isOnline(dead)).toEqual([0]);
  expect(dead.metrics.map(({ timestampUs }) => timestampUs)).toEqual(Array(2).fill((at + 1000) * 1000));
  // The will of an earlier session comes late: it ends nothing.
  expect(send('G/NDEATH/E', { metrics: [bdSeq(2)] }).outcome).toBe('ignored');
  const node = send('G/NDEATH/E', { metrics: [bdSeq(3)] });
  expect(samples(node)).toEqual(['Temp  NaN', 'y D2 NaN']);
  expect(isOnline(node)).toEqual([0, 0]);
  // By the host's time.
  expect(new Set(node.metrics.map(({ timestampUs }) => timestampUs))).toEqual(new Set([receivedUs]));
  expect(map('spBv1.0/G/NDEATH/E', encode({ metrics: [bdSeq(3)] })).outcome).toBe('ignored');
});

test('each element of an array is stale when it dies', () => {
  const { map, send } = open();
  map('spBv1.0/G/NBIRTH/E', encodeArray('v', 22, Buffer.of(1, 2)));
  expect(samples(send('G/NDEATH/E', { metrics: [] }))).toEqual(['v 0 NaN', 'v 1 NaN']);
});

test('gaps, missing births and unknown aliases ask for a rebirth, not too often', () => {
  const gap = open();
  gap.send('G/NBIRTH/E', nodeBirth([temperature], 255));
  gap.send('G/NDATA/E', { seq: 0, metrics: [temperature] });
  expect(gap.asked).toEqual([]);
  // What comes after a gap is stored by the births that are known.
  expect(
    samples(gap.send('G/NDATA/E', { seq: 2, metrics: [{ alias: 7, type: 'Float', value: 4 }] })),
  ).toEqual(['Temp  4']);
  gap.send('G/NDATA/E', { seq: 9, metrics: [] });
  expect(gap.asked).toEqual(['G/E gap']);
  gap.send('G/NBIRTH/E', nodeBirth([temperature], 0));
  const unknown = gap.send('G/NDATA/E', { seq: 1, metrics: [{ alias: 99, type: 'Float', value: 4 }] });
  expect([unknown.outcome, unknown.logs[0]?.labels.reason]).toEqual(['dead-letter', 'unknown-alias']);
  expect(gap.asked).toEqual(['G/E gap', 'G/E unknown alias']);
  const early = open();
  expect(
    samples(early.send('G/DDATA/E/D', { seq: 5, metrics: [{ name: 'x', type: 'Int8', value: 1 }] })),
  ).toEqual(['x D 1']);
  early.send('G/DBIRTH/E/D', { seq: 6, metrics: [] });
  expect(early.asked).toEqual(['G/E no birth']);
});

test('each message of a node or device counts in seq, whose absence is a gap', () => {
  const x = { name: 'x', type: 'Int8', value: 1 };
  for (const type of ['NDATA/E', 'DBIRTH/E/D', 'DDATA/E/D', 'DDEATH/E/D'])
    for (const [seq, asked] of [
      [0, []],
      [1, ['G/E gap']],
      [255, ['G/E gap']],
      [undefined, ['G/E gap']],
    ] as const) {
      const host = open();
      host.send('G/NBIRTH/E', nodeBirth([temperature], 254));
      host.send('G/DBIRTH/E/D', { seq: 255, metrics: [x] });
      host.send(`G/${type}`, { ...(seq !== undefined && { seq }), metrics: [x] });
      expect([type, seq, host.asked]).toEqual([type, seq, asked]);
    }
});

test('aliases survive a restart, after which births are asked for', () => {
  const store = memoryStore();
  const before = open(store);
  before.send('G/NBIRTH/E', nodeBirth([temperature]));
  before.send('G/DBIRTH/E/D', { seq: 1, metrics: [{ name: 'x', alias: 8, type: 'Int8', value: 1 }] });
  before.send('G/DBIRTH/E/D2', { seq: 2, metrics: [{ name: 'y', alias: 9, type: 'Int8', value: 1 }] });
  before.send('G/DDEATH/E/D2', { seq: 3 });
  expect([...store.births.keys()]).toEqual(['G/E', 'G/E/D', 'G/E/D2']);
  const after = open(store);
  expect(
    samples(after.send('G/DDATA/E/D', { seq: 77, metrics: [{ alias: 8, type: 'Int8', value: -1 }] })),
  ).toEqual(['x D -1']);
  expect(after.asked).toEqual(['G/E restart']);
  expect(samples(after.send('G/NDEATH/E', { metrics: [bdSeq(3)] }))).toEqual([
    'Temp  NaN',
    'x D NaN',
    'y D2 NaN',
  ]);
  // What the dead said is known until they are born again.
  after.send('G/NBIRTH/E', nodeBirth([temperature]));
  expect([...store.births.keys()]).toEqual(['G/E']);
});

test('commands and STATE make no rows, other topics are mapped as ever', () => {
  const { map } = open();
  expect(map('spBv1.0/STATE/host', '{"online":true,"timestamp":1}').outcome).toBe('ignored');
  expect(map('spBv1.0/G/NCMD/E', encode({ metrics: [temperature] })).outcome).toBe('ignored');
  expect(map('spBv1.0/G/OTHER/E', '5').metrics).toHaveLength(1);
});

test('births beyond the limit and what is no payload are set aside', () => {
  const { send, map } = open(memoryStore(), 1);
  const many = nodeBirth([temperature, { ...temperature, name: 'B', alias: 1 }]);
  expect(send('G/NBIRTH/E', many).logs[0]?.labels.reason).toBe('too-many-values');
  expect(map('spBv1.0/G/NBIRTH/E', 'no payload').logs[0]?.labels.reason).toBe('bad-payload');
});

test('the rebirth command is what other implementations read', () => {
  const { metrics, seq, timestamp } = get().decodePayload(rebirthCommand(at));
  expect(seq).toBeFalsy();
  expect(Number(timestamp)).toBe(at);
  expect(metrics).toMatchObject([{ name: 'Node Control/Rebirth', type: 'Boolean', value: true }]);
});

test('any bytes are a payload or refused', () => {
  const seed = Buffer.from(
    encode(
      nodeBirth([
        temperature,
        { name: 'v', type: 'Int8Array', value: [1] },
        {
          name: 'm',
          type: 'Template',
          value: { isDefinition: false, metrics: [temperature], parameters: [] },
        },
      ]),
    ),
  );
  const change = fc.array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 });
  const { map } = open();
  fc.assert(
    fc.property(change, (changes) => {
      const bytes = Buffer.from(seed);
      for (const [index, byte] of changes) bytes[index] = byte;
      expect(['stored', 'dead-letter', 'ignored']).toContain(map('spBv1.0/G/NBIRTH/E', bytes).outcome);
    }),
    { seed: 5, numRuns: 2000 },
  );
  expect(readSparkplugPayload(new Uint8Array(), { valuesPerPayloadMax: 1 }).metrics).toEqual([]);
});
