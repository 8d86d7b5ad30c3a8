import fc from 'fast-check';
import { compress } from 'snappyjs';
import { expect, test } from 'vitest';
import { FirnError } from '../../base/errors.ts';
import { logStreams, serviceNameLabels } from '../logs/streams.ts';
import { plainLogs } from '../logs.fixture.ts';
import { createSeriesCache } from '../series-cache.ts';
import { encodePush, type PushStream, pushBody } from './encode.fixture.ts';
import { type LokiPushLimits, lokiPushLimits } from './limits.ts';
import { parseLabels } from './parse-labels.ts';
import { lokiPushFormat, receiveLokiPush } from './receive.ts';

function receiver(options: { limits?: Partial<LokiPushLimits>; identity?: boolean } = {}) {
  const limits = { ...lokiPushLimits, ...options.limits };
  const cache = createSeriesCache({ identity: options.identity ? [['site', 'plant']] : [] });
  const streams = logStreams({ cache, serviceNameFrom: serviceNameLabels });
  return {
    cache,
    json: (body: unknown) =>
      receiveLokiPush('json', Buffer.from(JSON.stringify(body)), streams, limits).batch,
    push: (sent: readonly PushStream[]) => receiveLokiPush('snappy', pushBody(sent), streams, limits).batch,
    raw: (format: 'json' | 'snappy', body: Uint8Array) =>
      receiveLokiPush(format, body, streams, limits).batch,
  };
}

const ns = 1_700_000_000_123_456_789n;
const press: PushStream = {
  labels: '{app="press", level="warn"}',
  entries: [
    [ns, 'hot'],
    [-1n, 'grüße', { user: '7', trace_id: 'ab' }],
  ],
};

test('lines become rows: exact times, streams with their service, levels and structured metadata', () => {
  const batch = receiver({ identity: true }).push([press]);
  expect(batch.series.map(({ labels }) => JSON.parse(labels))).toEqual([
    { app: 'press', level: 'warn', service_name: 'press', site: 'plant' },
  ]);
  expect([...batch.timestampNs]).toEqual([ns, -1n]);
  expect(plainLogs(batch)).toMatchObject({
    rows: 2,
    line: ['hot', 'grüße'],
    attributes: ['{"detected_level":"warn"}', '{"detected_level":"warn","trace_id":"ab","user":"7"}'],
    severity: ['warn', 'warn'],
    traceId: [null, 'ab'],
  });
  expect(batch.spanId).toBeUndefined();
});

test('JSON and protobuf of the same lines are the same rows', () => {
  const values = press.entries.map(([time, line, metadata]) => [
    ...[String(time), line, ...(metadata ? [metadata] : [])],
  ]);
  const json = { streams: [{ stream: { app: 'press', level: 'warn' }, values }] };
  expect(plainLogs(receiver().json(json))).toEqual(plainLogs(receiver().push([press])));
});

test('a stream that is known is found by its bytes, with its level, and goes along until it is durable', () => {
  const { cache, push } = receiver();
  const first = push([press]);
  expect(push([press]).series).toEqual(first.series);
  cache.markDurable(first.series);
  const third = push([press]);
  expect(third.series).toEqual([]);
  expect(plainLogs(third)).toEqual({ ...plainLogs(first), series: [] });
});

test('numbers are labels as they are written, streams without lines are nothing', () => {
  const { json } = receiver();
  const batch = json({ streams: [{ stream: { n: 1.5 }, values: [['1', 'a']] }, { stream: { x: 'y' } }] });
  expect(batch.series.map(({ labels }) => labels)).toEqual(['{"n":"1.5","service_name":"unknown_service"}']);
});

test.each([
  ['{}', []],
  [
    ' { a = "b" , c=\'d\',} ',
    [
      ['a', 'b'],
      ['c', 'd'],
    ],
  ],
  [
    '{a="\\"\\\\\\n\\u00fc\\x41", b=`raw\\n`}',
    [
      ['a', '"\\\n\u00fcA'],
      ['b', 'raw\\n'],
    ],
  ],
])('labels %s', (text, labels) => expect(parseLabels(text)).toEqual(labels));

test.each([
  '',
  '{',
  '{a}',
  '{a=b}',
  '{a="b"',
  '{a="b" c="d"}',
  '{a!="b"}',
  '{1a="b"}',
  '{a="b"}x',
  '{a="\\q"}',
])('no labels: %s', (text) => expect(() => parseLabels(text)).toThrow(/error parsing labels/));

test.each<[string, unknown, RegExp]>([
  ['no streams', {}, /send a list of streams/],
  ['no labels', { streams: [{ stream: {}, values: [['1', 'a']] }] }, /at least one label pair is required/],
  [
    'a line that is an object',
    { streams: [{ stream: { a: 'b' }, values: [['1', {}]] }] },
    /values\[0\]\[1\], the line/,
  ],
  ['no time', { streams: [{ stream: { a: 'b' }, values: [['now', 'a']] }] }, /nanoseconds/],
  [
    'a time out of range',
    { streams: [{ stream: { a: 'b' }, values: [['9223372036854775807', 'a']] }] },
    /out of range/,
  ],
  [
    'a name that is none',
    { streams: [{ stream: { 'a.b': 'c' }, values: [['1', 'a']] }] },
    /not a valid label name/,
  ],
  [
    'metadata that is no text',
    { streams: [{ stream: { a: 'b' }, values: [['1', 'a', { n: 1 }]] }] },
    /\[2\]\.n is not a string/,
  ],
])('%s is refused with a reason', (_, body, message) => {
  expect(() => receiver().json(body)).toThrow(message);
});

test('a label twice, a request that is not snappy, JSON that is none', () => {
  expect(() => receiver().push([{ ...press, labels: '{a="1", a="2"}' }])).toThrow(
    /duplicate label name: 'a'/,
  );
  expect(() => receiver().raw('snappy', Buffer.from('?'))).toThrow(/snappy/);
  expect(() => receiver().raw('json', Buffer.from('{'))).toThrow(/not valid JSON/);
});

test.each<[keyof LokiPushLimits, number]>([
  ['decodedBytesMax', encodePush([press]).length],
  ['streamsPerRequestMax', 1],
  ['lineBytesMax', Buffer.byteLength('grüße')],
  ['metadataBytesMax', 4 + 1 + 8 + 2 + 8],
])('%s: %i is accepted, one less is not', (name, value) => {
  expect(receiver({ limits: { [name]: value } }).push([press]).rows).toBe(2);
  expect(() => receiver({ limits: { [name]: value - 1 } }).push([press])).toThrow(
    expect.objectContaining({ code: 'limit', subject: name }),
  );
});

test.each([
  [undefined, 'snappy'],
  ['application/x-protobuf', 'snappy'],
  ['application/jsonn', 'snappy'],
  ['application/json; charset=utf-8', 'json'],
])('content type %s: %s', (type, format) => expect(lokiPushFormat(type)).toBe(format));

test('a content type that is none is refused', () => {
  expect(() => lokiPushFormat('application/json; charsetutf-8')).toThrow(/invalid media parameter/);
});

test('mutated requests are received or refused with a reason, never another error', () => {
  const { raw } = receiver();
  const originals = {
    snappy: encodePush([press, { ...press, labels: '{a="b"}' }]),
    json: Buffer.from(
      JSON.stringify({ streams: [{ stream: { a: 'b' }, values: [['1', 'l', { c: 'd' }]] }] }),
    ),
  };
  const mutation = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 4 });
  const format = fc.constantFrom('snappy', 'json');
  fc.assert(
    fc.property(format, mutation, fc.nat(), (kind, changes, cut) => {
      const bytes = Uint8Array.from(originals[kind]);
      for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
      const sent = cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes;
      try {
        const batch = raw(kind, kind === 'json' ? sent : compress(sent));
        expect(batch.line).toHaveLength(batch.rows);
        expect(batch.timestampNs).toHaveLength(batch.rows);
      } catch (error) {
        if (!(error instanceof FirnError)) throw error;
      }
    }),
    { numRuns: 3000 },
  );
});
