import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canonicalLabels, type Label, labelsJson, parseLabelsJson, withIdentity } from './labels.ts';
import { seriesId } from './series-id.ts';

const pairs = fc.array(fc.tuple(fc.string(), fc.string()) as fc.Arbitrary<Label>);

test('parse(print(labels)) = labels, also for names an object would mangle', () => {
  fc.assert(
    fc.property(pairs, (raw) => {
      const labels = canonicalLabels(raw);
      expect(parseLabelsJson(labelsJson(labels))).toEqual(labels);
    }),
  );
  const odd = canonicalLabels([
    ['__proto__', 'a'],
    ['10', 'b'],
    ['9', 'c'],
    ['ü', '"\n'],
  ]);
  expect(parseLabelsJson(labelsJson(odd))).toEqual(odd);
});

test('the order in which labels arrive does not change the series id', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.string(), fc.string()) as fc.Arbitrary<Label>, {
        selector: ([name]) => name,
      }),
      (raw) => {
        expect(seriesId(labelsJson(canonicalLabels([...raw].reverse())))).toBe(
          seriesId(labelsJson(canonicalLabels(raw))),
        );
      },
    ),
  );
});

// Computed with the reference implementation of xxHash64; these may never change.
test.each([
  ['', -1205034819632174695n],
  ['{"__name__":"up"}', -4962815454600131848n],
])('the series id of %j is for ever', (json, id) => {
  expect(seriesId(json)).toBe(id);
});

test('a label that the gateway sets itself is kept as exported_', () => {
  expect(
    withIdentity(
      canonicalLabels([
        ['site', 'a'],
        ['x', '1'],
      ]),
      [['site', 'plant']],
    ),
  ).toEqual([
    ['exported_site', 'a'],
    ['site', 'plant'],
    ['x', '1'],
  ]);
});
