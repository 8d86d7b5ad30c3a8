import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compareUtf8, nameOf, rankSeries } from './series-order.ts';

test('texts are in the order of their UTF-8 bytes', () => {
  const text = fc.string({
    unit: fc.constantFrom('a', 'b', 'é', '\ud7ff', '\ue000', '\uffee', '\u{10000}', '\u{1f600}'),
  });
  fc.assert(
    fc.property(text, text, (a, b) => {
      expect(Math.sign(compareUtf8(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
    }),
  );
});

test.each([
  ['{"__name__":"up","site":"a"}', 'up'],
  ['{"site":"a"}', ''],
  ['{"__name__":"a\\ud800"}', 'a\ufffd'],
])('the name in %s is %j', (labels, name) => {
  expect(nameOf(labels)).toBe(name);
});

test('metrics rank by name and then signed id; streams by id', () => {
  const labels = new Map([
    [3n, '{"__name__":"a"}'],
    [-4n, '{"__name__":"b"}'],
    [-5n, '{"__name__":"a"}'],
  ]);
  const ids = [...labels.keys()];
  expect(rankSeries('metrics', ids, labels).map(({ id }) => id)).toEqual([-5n, 3n, -4n]);
  expect(rankSeries('logs', ids, labels).map(({ id }) => id)).toEqual([-5n, -4n, 3n]);
});
