import fc from 'fast-check';
import { expect, test } from 'vitest';
import { logStreams, serviceNameLabels } from '../logs/streams.ts';
import { plainLogs } from '../logs.fixture.ts';
import { noneRejected } from '../rejected.ts';
import { createSeriesCache } from '../series-cache.ts';
import { jsonParts, parseJsonPush } from './decode-json.ts';
import { lokiPushLimits } from './limits.ts';
import { scanJsonPush } from './scan-json.ts';

const source = () =>
  logStreams({ cache: createSeriesCache({ identity: [] }), serviceNameFrom: serviceNameLabels });
const scan = (body: Buffer) => scanJsonPush(body, source(), lokiPushLimits, jsonParts(lokiPushLimits));
const parse = (body: Buffer) => parseJsonPush(body, source(), lokiPushLimits, noneRejected());

/** What both say: the one only says nothing where the request is in another form. */
function same(body: Buffer): boolean {
  const scanned = scan(body);
  if (scanned !== undefined) expect(plainLogs(scanned)).toEqual(plainLogs(parse(body)));
  return scanned !== undefined;
}

const text = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc.string(),
  fc.constantFrom('a"b\\c\n', '\ud800x', '\ud83d\ude00'),
);
const time = fc.bigInt({ min: 10n ** 15n, max: 8n * 10n ** 18n }).map(String);
const value = fc.oneof(
  fc.tuple(time, text),
  fc.tuple(time, text, fc.dictionary(fc.constantFrom('user', 'level', 'trace_id'), text)),
);
const stream = fc.record({
  stream: fc.dictionary(fc.constantFrom('app', 'env', 'level'), fc.string({ minLength: 1 }), { minKeys: 1 }),
  values: fc.array(value, { maxLength: 4 }),
});

/** Some escapes that JSON.stringify does not write. */
const otherEscapes = (json: string): string => json.replaceAll('a', '\\u0061').replaceAll('/', '\\/');

test('what is scanned is what is parsed', () => {
  let scanned = 0;
  fc.assert(
    fc.property(
      fc.array(stream, { maxLength: 3 }),
      fc.nat({ max: 2 }),
      fc.boolean(),
      (streams, indent, escapes) => {
        const json = JSON.stringify({ streams }, undefined, indent);
        scanned += Number(same(Buffer.from(escapes ? json.replace(/"[^"]*"\]/g, otherEscapes) : json)));
      },
    ),
    { numRuns: 1000 },
  );
  expect(scanned).toBeGreaterThan(900);
});

test('of damaged requests too, and of lines that are no UTF-8', () => {
  const whole = Buffer.from(
    JSON.stringify({
      streams: [
        {
          stream: { app: 'ä' },
          values: [
            ['1700000000000000000', 'gr\u00fcn "x" \\ \u{1f600}'],
            ['1700000000000000001', 'b', { user: '7' }],
          ],
        },
        { stream: { app: 'c' }, values: [] },
      ],
    }),
  );
  let scanned = 0;
  const change = fc.tuple(fc.nat({ max: whole.length - 1 }), fc.nat({ max: 255 }));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), fc.nat({ max: 40 }), (changes, cut) => {
      const body = Buffer.from(cut === 0 ? whole.subarray(0, whole.length - 1) : whole);
      for (const [at, byte] of changes) body[at % body.length] = byte;
      scanned += Number(same(body));
    }),
    { numRuns: 2000 },
  );
  expect(scanned).toBeGreaterThan(50);
});

test.each([
  '{"streams":[{"values":[["1700000000000000000","a"]],"stream":{"app":"b"}}]}',
  '{"streams":[{"stream":{"app":"b"},"values":[[1700000000000000000,"a"]]}]}',
  '{"streams":[{"stream":{"app":"b"},"values":[["1","a"]]}]}',
  '{"streams":[{"stream":{},"values":[["1700000000000000000","a"]]}]}',
  '{"streams":[{"stream":{"app":"b"},"values":[["1700000000000000000","a",{"n":1}]]}]}',
  '{"streams":[],"more":1}',
  '{"streams":[]} x',
])('another form: %s', (json) => expect(scan(Buffer.from(json))).toBeUndefined());
