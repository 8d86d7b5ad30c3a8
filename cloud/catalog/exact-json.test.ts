import fc from 'fast-check';
import { expect, test } from 'vitest';
import { exactId, parseExactJson, printExactJson } from './exact-json.ts';

test('every 64-bit integer comes back, as a number where a number holds it', () => {
  const edges = [
    2n ** 53n - 1n,
    2n ** 53n,
    2n ** 53n + 1n,
    9_999_999_999_999_999n,
    2n ** 63n - 1n,
    -(2n ** 63n),
  ];
  const id = fc.oneof(fc.constantFrom(...edges), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
  fc.assert(
    fc.property(fc.array(id), fc.string(), (ids, text) => {
      const value = { text, ids: ids.map(exactId), far: [{ ids }] };
      const read = parseExactJson(printExactJson(value)) as { ids: unknown[]; far: { ids: unknown[] }[] };
      expect(read).toEqual({ text, ids: ids.map(exactId), far: [{ ids: ids.map(exactId) }] });
    }),
  );
});

test('what is no JSON is an error', () => {
  expect(() => parseExactJson('{')).toThrow(SyntaxError);
  expect(() => parseExactJson('12345678901234567890x')).toThrow(SyntaxError);
});
