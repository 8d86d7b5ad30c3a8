import { expect, test } from 'vitest';
import { execAll } from './bounded-match.ts';
import { compileRegexp } from './regexp.ts';

test('every value is matched, with its groups', () => {
  const found = execAll(compileRegexp('(?P<head>.)(.*)'), ['abc', '']);
  expect([found[0]?.groups?.head, found[0]?.[2], found[1]]).toEqual(['a', 'bc', null]);
});

test('an expression that backtracks without end is an error, and not the end of the process', () => {
  expect(() => execAll(compileRegexp('(a+)+b'), ['a'.repeat(60)])).toThrow(
    'takes longer than regexpMsMax = 500',
  );
  expect(execAll(compileRegexp('a'), ['a'])[0]?.[0]).toBe('a');
});
