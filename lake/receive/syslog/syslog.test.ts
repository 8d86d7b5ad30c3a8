import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { deviceStreams } from '../logs/streams.ts';
import { plainLogs } from '../logs.fixture.ts';
import { createLogsBuilder } from '../logs-builder.ts';
import { createSeriesCache } from '../series-cache.ts';
import { createFrameReader } from './frames.ts';
import { parseSyslog } from './parse.ts';
import { appendSyslog } from './rows.ts';

const receivedMs = Date.parse('2026-01-02T00:00:00Z');
const parse = (text: string, timeZone = 'UTC') => parseSyslog(text, { receivedMs, timeZone });
const ns = (time: string, fraction = 0n): bigint => BigInt(Date.parse(time)) * 1_000_000n + fraction;

describe('RFC 5424', () => {
  test('everything', () => {
    expect(
      parse(
        '<165>1 2025-10-11T22:14:15.003456+02:00 plc-7 press 812 ID47 [ex@1 a="x \\"y\\" \\] \\\\" b="é"][z] \ufeffbelt stopped',
      ),
    ).toEqual({
      ...{ facility: 'local4', severity: 'notice', timestampNs: ns('2025-10-11T20:14:15Z', 3_456_000n) },
      ...{ hostname: 'plc-7', app: 'press', processId: '812', messageId: 'ID47', message: 'belt stopped' },
      structuredData: [
        ['ex@1.a', 'x "y" ] \\'],
        ['ex@1.b', 'é'],
      ],
    });
  });

  test.each([
    [
      '<34>1 - - - - - -',
      { facility: 'auth', severity: 'crit', timestampNs: undefined, hostname: '', message: '' },
    ],
    [
      '<0>1 2025-10-11T22:14:15Z h a - - - two  words ',
      { facility: 'kern', severity: 'emerg', message: 'two  words ' },
    ],
    [
      '<191>1 2025-10-11T22:14:15.123456789Z h a - - [x a=""]',
      {
        facility: 'local7',
        severity: 'debug',
        timestampNs: ns('2025-10-11T22:14:15Z', 123_456_789n),
        message: '',
      },
    ],
    // What only looks like it is kept whole.
    ['<13>1 yesterday h a - - - m', { hostname: '', message: '1 yesterday h a - - - m' }],
    ['<13>1 2025-10-11T22:14:15Z h a - - [x a=b] m', { message: '1 2025-10-11T22:14:15Z h a - - [x a=b] m' }],
  ])('%s', (text, expected) => expect(parse(text)).toMatchObject(expected));
});

describe('RFC 3164, as devices send it', () => {
  test.each([
    [
      '<34>Oct 11 22:14:15 mymachine su: failed for lonvick',
      {
        facility: 'auth',
        severity: 'crit',
        timestampNs: ns('2025-10-11T22:14:15Z'),
        hostname: 'mymachine',
        app: 'su',
        message: 'failed for lonvick',
      },
    ],
    [
      '<13>Jan  1 00:00:01 h app[12]: m',
      { timestampNs: ns('2026-01-01T00:00:01Z'), app: 'app', processId: '12', message: 'm' },
    ],
    ['<13>Jan  2 00:00:01 fe80::1 m', { hostname: '', message: 'fe80::1 m' }],
    [
      '<13>2025-10-11T22:14:15.5+00:00 h rsyslogd: m',
      { timestampNs: ns('2025-10-11T22:14:15Z', 500_000_000n), hostname: 'h', app: 'rsyslogd', message: 'm' },
    ],
    [
      '<189>*Oct 11 2025 22:14:15.250: %LINK-3-UPDOWN: down',
      { timestampNs: ns('2025-10-11T22:14:15Z', 250_000_000n), message: '%LINK-3-UPDOWN: down' },
    ],
    ['<13>su: no time', { timestampNs: undefined, hostname: '', app: 'su', message: 'no time' }],
    ['no priority at all', { facility: 'user', severity: 'notice', message: 'no priority at all' }],
    ['<999>too high', { facility: 'user', message: '<999>too high' }],
    ['<13>Foo 11 22:14:15 h m', { timestampNs: undefined, message: 'Foo 11 22:14:15 h m' }],
    ['', { message: '' }],
  ])('%s', (text, expected) => expect(parse(text)).toMatchObject(expected));

  test.each([
    ['Dec 31 23:59:59', 'UTC', '2025-12-31T23:59:59Z'],
    ['Jan  2 01:30:00', 'Europe/Berlin', '2026-01-02T00:30:00Z'],
    ['Jan  2 12:00:00', 'UTC', '2026-01-02T12:00:00Z'],
    ['Jan  4 00:00:00', 'UTC', '2025-01-04T00:00:00Z'],
    ['Jul  1 12:00:00', 'America/New_York', '2025-07-01T16:00:00Z'],
  ])('%s in %s is the latest such time: %s', (time, zone, expected) => {
    expect(parse(`<13>${time} h a: m`, zone).timestampNs).toBe(ns(expected));
  });
});

test('rows: labels, structured metadata, severity; a time that is not believable', () => {
  const logs = createLogsBuilder();
  const options = {
    ...{
      streams: deviceStreams(createSeriesCache({ identity: [['site', 's']] })),
      timeZone: 'UTC',
      futureMsMax: 1000,
    },
    ownTime: () => ({ trusted: true, floorUs: 0 }),
  };
  const add = (text: string) => appendSyslog(Buffer.from(text), '10.0.0.7', receivedMs * 1000, logs, options);
  add('<165>1 2025-10-11T22:14:15.003456789Z plc press 8 ID [a b="c"] m');
  add('<165>1 2036-10-11T22:14:15Z plc press - - - m');
  expect(plainLogs(logs.finish())).toMatchObject({
    line: ['m', 'm'],
    severity: ['notice', 'notice'],
    timestampNs: BigInt64Array.of(ns('2025-10-11T22:14:15Z', 3_456_789n), BigInt(receivedMs) * 1_000_000n),
    quality: [null, 'device-future'],
    attributes: [
      '{"a_b":"c","detected_level":"info","message_id":"ID","process_id":"8","sender":"10.0.0.7"}',
      '{"detected_level":"info","sender":"10.0.0.7"}',
    ],
    series: [
      {
        labels:
          '{"app":"press","facility":"local4","hostname":"plc","service_name":"press","severity":"notice","site":"s","source":"syslog"}',
      },
    ],
  });
});

describe('frames', () => {
  const read = (chunks: readonly string[], max = 20) => {
    let cuts = 0;
    const reader = createFrameReader(max, () => cuts++);
    const messages = [...chunks.flatMap((chunk) => reader.push(Buffer.from(chunk))), ...reader.end()];
    return [messages.map((message) => Buffer.from(message).toString()), cuts];
  };

  test.each<[string[], string[], number]>([
    [['<1>a\n<1>b\r\n\n<1>c'], ['<1>a', '<1>b', '<1>c'], 0],
    [['4 <1>a6 <1>b\nc5 <1>d\n'], ['<1>a', '<1>b\nc', '<1>d'], 0],
    [['4 <1>a', '<1>b\n', '4 <1>c'], ['<1>a', '<1>b', '<1>c'], 0],
    [['1', '2', ' <1>abcd', 'efghi'], ['<1>abcdefghi'], 0],
    [['2025-10-11 no count\n'], ['2025-10-11 no count'], 0],
    [['<1>a\0\n'], ['<1>a'], 0],
    [[`30 ${'x'.repeat(30)}4 <1>b`], ['x'.repeat(20), '<1>b'], 1],
    [[`<1>${'x'.repeat(30)}`, 'yyy\n<1>b\n'], [`<1>${'x'.repeat(17)}`, '<1>b'], 1],
    [['9999999 <1>a'], ['9999999 <1>a'], 0],
    [['99999999999 a\n'], ['99999999999 a'], 0],
  ])('%j', (chunks, messages, cuts) => expect(read(chunks)).toEqual([messages, cuts]));

  test('messages are the same however the stream is cut', () => {
    const message = fc
      .string({ unit: fc.constantFrom(...'<>1 a[]é-'), minLength: 1, maxLength: 15 })
      .map((text) => `<13>${text}x`);
    const sent = fc.array(fc.tuple(message, fc.boolean()), { maxLength: 8 });
    fc.assert(
      fc.property(sent, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (messages, sizes) => {
        const stream = Buffer.concat(
          messages.map(([text, counted]) =>
            Buffer.from(counted ? `${Buffer.byteLength(text)} ${text}` : `${text}\n`),
          ),
        );
        const reader = createFrameReader(1000, () => undefined);
        const found: Uint8Array[] = [];
        for (let at = 0, index = 0; at < stream.length; index++) {
          const size = sizes[index % sizes.length] ?? 1;
          found.push(...reader.push(stream.subarray(at, at + size)));
          at += size;
        }
        found.push(...reader.end());
        expect(found.map((each) => Buffer.from(each).toString())).toEqual(messages.map(([text]) => text));
      }),
    );
  });
});

test('any bytes are a message', () => {
  const good = '<165>1 2025-10-11T22:14:15.003Z plc press 8 ID [a b="c\\]"] m <34>Oct 11 22:14:15 h su[1]: x';
  const mutation = fc.tuple(fc.nat(good.length), fc.nat(9), fc.string({ unit: 'binary', maxLength: 4 }));
  fc.assert(
    fc.property(fc.array(mutation, { maxLength: 4 }), (mutations) => {
      const text = mutations.reduce(
        (all, [at, gone, put]) => all.slice(0, at) + put + all.slice(at + gone),
        good,
      );
      expect(parse(text).message.length).toBeLessThanOrEqual(text.length);
    }),
    { numRuns: 3000, seed: 4 },
  );
});
