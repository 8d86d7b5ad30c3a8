import fc from 'fast-check';
import { expect, test } from 'vitest';
import { textsOf } from '../../model/text-column.ts';
import { createLogsBuilder } from '../logs-builder.ts';
import { createMetricsBuilder } from '../metrics-builder.ts';
import { createSeriesCache } from '../series-cache.ts';
import { createSeriesGuard } from '../series-guard.ts';
import { createFamiliarReader, createRoot, readFamiliar } from './familiar-payload.ts';
import { receivedUs } from './mapper.fixture.ts';
import { createMqttMapper, mqttLimits } from './mapper.ts';
import type { TopicTemplate } from './templates.ts';

interface Message {
  readonly topic: string;
  readonly payload: string | Buffer;
}

/** Rows of messages, mapped as bytes within a larger chunk or one by one; and whether each was familiar. */
function rowsOf(messages: readonly Message[], inBytes: boolean, templates: readonly TopicTemplate[] = []) {
  const guard = createSeriesGuard({ activeSeriesMax: 12, newSeriesPerMinuteMax: 0 }, () => 0);
  const limits = { labelsPerSeriesMax: 5, labelNameBytesMax: 100, labelValueBytesMax: 9 };
  const cache = createSeriesCache({ identity: [['site', 'plant']], guard, limits });
  const ownTime = () => ({ trusted: true, floorUs: 0 });
  const mapper = createMqttMapper({ cache, templates, ownTime, limits: { payloadBytesMax: 300 } });
  const metrics = createMetricsBuilder();
  const logs = createLogsBuilder();
  const outcomes = messages.map(({ topic, payload }, n) => {
    const at = receivedUs + n;
    const bytes = Buffer.from(payload);
    if (!inBytes) return mapper.map({ topic, payload: bytes, receivedUs: at }, metrics, logs);
    // What follows in a chunk must not be taken for a part of it: here a digit.
    const name = Buffer.from(topic);
    const chunk = Buffer.concat([name, bytes, Buffer.from('0')]);
    const known = mapper.topicAt(chunk, 0, name.length);
    const place = { topic: known, bytes: chunk, start: name.length, end: chunk.length - 1, receivedUs: at };
    return mapper.mapBytes(place, metrics, logs);
  });
  const { series, ...rows } = metrics.finish();
  const { series: streams, line, ...lines } = logs.finish();
  return { outcomes, series, rows, streams, lines, texts: textsOf(line), counts: guard.counts() };
}

const name = fc.constantFrom(
  ...['a', 'b', 'a_b', 'value', 'ts', 'time', 'timestamp', 'c d', '1', '', 'é', '__proto__', 'x"y'],
);
const time = fc.constantFrom<unknown>(
  1_700_000_000,
  1_700_000_000_123.5,
  '2024-05-01T10:00:00Z',
  0,
  '5',
  'noon',
  4e12,
  null,
  true,
);
const leaf = fc.oneof(
  { weight: 4, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { weight: 4, arbitrary: fc.integer({ min: -1000, max: 1000 }).map((n) => n / 10) },
  { weight: 1, arbitrary: fc.integer() },
  { weight: 3, arbitrary: time },
  {
    weight: 2,
    arbitrary: fc.constantFrom<unknown>(true, false, null, 'on', 'a "quoted" text', '°C', [1, 2], [], {}),
  },
);
const object = fc.letrec((tie) => ({
  object: fc.dictionary(
    name,
    fc.oneof({ weight: 4, arbitrary: leaf }, { weight: 1, arbitrary: tie('object') }),
    { maxKeys: 5 },
  ),
})).object;
const json = fc
  .tuple(object, fc.constantFrom(undefined, 1, '\t'))
  .map(([value, space]) => JSON.stringify(value, undefined, space));
const scalar = fc.oneof(
  fc.double().map(String),
  fc.constantFrom(
    ...[
      'true',
      'false',
      'null',
      '-',
      '-0',
      '+5',
      '007',
      '1.',
      '.5',
      '1e3',
      '1E-7',
      '1e',
      '1e999',
      '12 ',
      'on',
      '',
      '9007199254740993',
      '123456789.123456789',
      '{',
      '{}',
      '{"a":1',
      '{"a":1}}',
      '{"a":1,}',
      '{"a":01}',
      '{"a":1,"a":2}',
      '{"a":{"b":1},"a_b":2}',
      '[{"a":1},{"a":2}]',
      '{"a" : 1 }',
      ' {"a":1}',
      '{"a":tru}',
      '{"a":"\u0001"}',
      '{"ts":1,"time":2,"a":3}',
      '{"\\u0061":1}',
    ],
  ),
);
/** JSON with one byte changed, added or left out. */
const broken = fc
  .tuple(json, fc.nat(), fc.nat({ max: 255 }), fc.nat({ max: 2 }))
  .map(([text, at, byte, kind]) => {
    const bytes = Buffer.from(text);
    const place = at % (bytes.length + 1);
    const added = kind === 0 ? [] : [byte];
    return Buffer.concat([
      bytes.subarray(0, place),
      Buffer.from(added),
      bytes.subarray(kind === 1 ? place : place + 1),
    ]);
  });
const payload = fc.oneof<fc.Arbitrary<string | Buffer>[]>(json, json, scalar, broken);

test('bytes in a chunk give the same rows, series and refusals as the message on its own', () => {
  const templates = [{ topic: 'm/{machine}', metric: 'machine' }];
  const message = fc.record({ topic: fc.constantFrom('m/1', 'a/value', 'a/é', 'much/too/long'), payload });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 12 }), (messages) => {
      // Twice, so that the second time the names are known.
      const twice = [...messages, ...messages];
      expect(rowsOf(twice, true, templates)).toEqual(rowsOf(twice, false, templates));
    }),
    { numRuns: 500, seed: 41 },
  );
});

test('numbers are read as JSON.parse reads them, to the bit', () => {
  const reader = createFamiliarReader(mqttLimits);
  const text = fc.oneof(
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
    fc.tuple(fc.bigInt({ min: 0n, max: 10n ** 20n }), fc.nat({ max: 25 })).map(([digits, decimals]) => {
      const all = String(digits).padStart(decimals + 1, '0');
      return decimals === 0 ? all : `${all.slice(0, -decimals)}.${all.slice(-decimals)}`;
    }),
  );
  fc.assert(
    fc.property(text, (number) => {
      const bytes = Buffer.from(`${number}5`);
      expect(readFamiliar(reader, createRoot(), bytes, 0, bytes.length - 1)).toBe(1);
      expect(reader.values[0]).toBe(JSON.parse(number));
    }),
    { numRuns: 2000, seed: 42 },
  );
});

test('what devices send is familiar', () => {
  const reader = createFamiliarReader(mqttLimits);
  const root = createRoot();
  for (const [text, count] of [
    ['{"value":21.5,"ts":1760000000000,"c":3}', 2],
    ['{ "ts": "2024-05-01T10:00:00Z", "motor": { "rpm": 900, "on": true, "mode": "eco" }, "err": null }', 2],
    ['-12.75', 1],
    ['true', 1],
    ['{"state":"open"}', 0],
    ['[{"a":1}]', 0],
  ] as const) {
    const bytes = Buffer.from(text);
    expect(readFamiliar(reader, root, bytes, 0, bytes.length), text).toBe(count);
  }
});

test('names that never end are not learned without end', () => {
  const cache = createSeriesCache({ identity: [], cachedSeriesMax: 1000 });
  const mapper = createMqttMapper({ cache, templates: [] });
  const metrics = createMetricsBuilder();
  const logs = createLogsBuilder();
  const known = new Set<unknown>();
  const count = 2000;
  for (let n = 0; n < count; n++) {
    const inner = Object.fromEntries(Array.from({ length: 30 }, (_, k) => [`k${n % 60}x${k}`, k]));
    const text = JSON.stringify({ [`a${n % 50}`]: { [`b${Math.floor(n / 60)}`]: inner } });
    const bytes = Buffer.from(`t${text}`);
    const topic = mapper.topicAt(bytes, 0, 1);
    known.add(topic);
    mapper.mapBytes({ topic, bytes, start: 1, end: bytes.length, receivedUs }, metrics, logs);
  }
  expect(metrics.finish().rows).toBe(30 * count);
  expect(known.size).toBe(2); // all was forgotten when there was too much of it
});
