import fc from 'fast-check';
import { RE2JS } from 're2js';
import { expect, test } from 'vitest';
import { linearTest } from './linear.ts';

test.each([
  'drive [0-9]+ over|HTTP/1.1" 50[0-9]',
  'a.c',
  '^"[^"]*"$',
  'took \\d+ms',
  'err?or',
  '[\\w.]x',
  '',
  'a|',
])('%s is tested by JavaScript', (pattern) => expect(linearTest(pattern)).toBeDefined());

test.each([
  ['(a+)+b', 'a group'],
  ['[0-9]+x', 'each digit may be the first'],
  ['x.*y', 'what follows may be what is repeated'],
  ['xa+a', 'what follows may be what is repeated'],
  ['xa+b?a', 'what follows may be what is repeated'],
  ['x[a-z]+[0-9]*[c-d]', 'what follows may be what is repeated'],
  ['a?b?c?d?', 'many ways'],
  ['x\\b', 'a boundary of words'],
  ['(?i)x', 'flags'],
  ['ä', 'no ASCII'],
  ['a{3}', 'counts'],
  ['xa+?', 'as little as possible'],
  ['[[:alpha:]]', 'a class by its name'],
  ['\\pL', 'a class of Unicode'],
])('%s is not: %s', (pattern) => expect(linearTest(pattern)).toBeUndefined());

const atom = fc.constantFrom(
  ...['a', 'b', 'c', '.', '-', '"', '/', '\\.', '\\d', '\\w', '\\s', '\\-', '\\\\', '^', '$', 'é', '\n'],
  ...'[ab] [^a] [a-c] [^a-b"] [\\d.] [\\s] []a] [^]a] [a-] [.\\]] [\\w-] [$^]'.split(' '),
);
const pattern = fc
  .array(fc.tuple(atom, fc.constantFrom('', '', '', '', '?', '+', '*', '|')), { minLength: 1, maxLength: 6 })
  .map((parts) => parts.map(([of, times]) => of + times).join(''));
const text = fc
  .array(fc.constantFrom(...'abc0.-"/\\ \n\r\u2028\vé😀_]^'), { maxLength: 8 })
  .map((chars) => chars.join(''));

test('what it tests, it tests as RE2 does', () => {
  const seen = { tested: 0, found: 0 };
  fc.assert(
    fc.property(pattern, fc.array(text, { minLength: 1, maxLength: 5 }), (pattern, texts) => {
      const linear = linearTest(pattern);
      if (linear === undefined) return;
      seen.tested++;
      const re2 = RE2JS.compile(pattern);
      for (const text of texts) {
        const found = linear(text);
        if (found) seen.found++;
        expect(found, `${JSON.stringify(pattern)} over ${JSON.stringify(text)}`).toBe(re2.test(text));
      }
    }),
    { numRuns: 2000 },
  );
  expect(seen.tested).toBeGreaterThan(400);
  expect(seen.found).toBeGreaterThan(400);
});
