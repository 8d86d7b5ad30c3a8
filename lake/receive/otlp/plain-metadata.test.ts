import fc from 'fast-check';
import { expect, test } from 'vitest';
import { plainLogs } from '../logs.fixture.ts';
import { only, receiver } from './receive.fixture.ts';

// Records are read in two ways. An attribute that is a map makes one be read in the slow way; what comes of it otherwise
// must be the same.

const names = ['order.id', 'level', 'severity_text', 'host.name', 'order_id', 'b', 'a"\\', 'flags', 'ü'];
const value = fc.oneof(
  fc
    .constantFrom('', 'warn', 'x"y\\z', 'tab\t', 'grün', '\u{1f600}', 'plain text')
    .map((stringValue) => ({ stringValue })),
  fc.constantFrom('1', '-9223372036854775808').map((intValue) => ({ intValue })),
  fc.constantFrom(1.5, -0, 'NaN').map((doubleValue) => ({ doubleValue })),
  fc.boolean().map((boolValue) => ({ boolValue })),
  fc.constant({ arrayValue: { values: [{ stringValue: 'a' }, { intValue: '1' }] } }),
  fc.constant({ bytesValue: 'AAE=' }),
);
const attributes = fc.array(fc.record({ key: fc.constantFrom(...names), value }), { maxLength: 6 });
const time = fc.constantFrom('0', '1', '1700000000123456789', '4294967296000', '999999999999999999');
const record = fc.record(
  {
    timeUnixNano: time,
    observedTimeUnixNano: time,
    severityNumber: fc.integer({ min: 0, max: 25 }),
    severityText: fc.constantFrom('', 'INFO', 'odd "one"'),
    body: fc.oneof(
      value,
      fc.constantFrom('level=error x=1', '[warn] hot').map((stringValue) => ({ stringValue })),
    ),
    attributes,
    droppedAttributesCount: fc.nat({ max: 3 }),
    flags: fc.nat({ max: 2 }),
    traceId: fc.constantFrom('', '00000000000000000000000000000000', '0af7651916cd43dd8448eb211c80319c'),
    spanId: fc.constantFrom('', 'b7ad6b7169203331'),
  },
  { requiredKeys: [] },
);
const map = { key: 'zz', value: { kvlistValue: { values: [{ key: 'm', value: { stringValue: 'x' } }] } } };

const rowsOf = (logRecords: readonly object[], resourceAttributes: readonly object[]) => {
  const resource = { attributes: resourceAttributes };
  const request = { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 's' }, logRecords }] }] };
  const logs = plainLogs(only(receiver()('logs', request).batches, 'logs'));
  return { ...logs, traceId: logs.traceId ?? [], spanId: logs.spanId ?? [], severity: logs.severity ?? [] };
};

test('a record that is read as bytes has the metadata of one that is read as objects', () => {
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 5 }), attributes, (records, ofResource) => {
      const plain = rowsOf(records, ofResource);
      const slow = rowsOf(
        records.map((each) => ({ ...each, attributes: [...(each.attributes ?? []), map] })),
        ofResource,
      );
      const withoutMap = slow.attributes?.map((text) => text?.replace(/,?"zz_m":"x"/, '').replace('{,', '{'));
      expect({ ...plain, series: [] }).toEqual({ ...slow, attributes: withoutMap, series: [] });
    }),
    { numRuns: 500 },
  );
});

test('what is named detected_level is the level', () => {
  const detected = { key: 'detected_level', value: { stringValue: 'odd' } };
  const of = (own: readonly object[], ofResource: readonly object[]) =>
    rowsOf([{ attributes: own, severityNumber: 17 }], ofResource).attributes?.[0];
  expect(of([detected], [])).toContain('"detected_level":"odd"');
  expect(of([], [detected])).toContain('"detected_level":"odd"');
  expect(of([], [])).toContain('"detected_level":"error"');
});
