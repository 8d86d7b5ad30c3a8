import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hashSet } from './hash-set.ts';

test('it holds what a Set holds', () => {
  const hash = fc.oneof(
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    fc.bigInt({ min: -9n, max: 9n }),
  );
  fc.assert(
    fc.property(fc.array(hash), fc.array(hash), (added, asked) => {
      const set = hashSet();
      for (const each of added) set.add(each);
      // 0 and 1 are the same to it.
      const model = new Set(added.map((each) => each || 1n));
      expect(set.size).toBe(model.size);
      for (const each of [...added, ...asked]) expect(set.has(each)).toBe(model.has(each || 1n));
    }),
  );
});

test('it grows', () => {
  const set = hashSet();
  for (let each = 0n; each < 10_000n; each++) set.add(each << 20n);
  expect(set.size).toBe(10_000);
  for (let each = 1n; each < 10_000n; each++)
    expect([set.has(each << 20n), set.has((each << 20n) + 7n)]).toEqual([true, false]);
});
