import { expect, test } from 'vitest';
import { compileRe2 } from './re2.ts';

test.each([
  ['a.c', false, 'xabc', true],
  ['a.c', true, 'xabc', false],
  ['a.c', true, 'a\nc', true],
  ['a.c', false, 'a\nc', false],
  ['(?i)ERR', false, 'an error', true],
  ['plain text', false, 'some plain text here', true],
  ['plain', true, 'plain', true],
])('%s (whole: %s) over %j is %s', (pattern, full, text, found) =>
  expect(compileRe2(pattern, full).test(text)).toBe(found),
);

test('an expression that makes others backtrack takes no longer for a longer text', () => {
  expect(compileRe2('(a+)+b').test('a'.repeat(20_000))).toBe(false);
});

test('replacements are Go’s', () => {
  const regexp = compileRe2('(?P<first>\\w)(\\w*)');
  // biome-ignore lint/suspicious/noTemplateCurlyInString: Go's name of a group
  expect(regexp.replaceAll('belt', '$2-${first}$$')).toBe('elt-b$');
  expect(regexp.replaceAll('belt', '$1x')).toBe('');
  expect(regexp.replaceAllText('belt', '$2')).toBe('$2');
  expect([...regexp.groupNames]).toEqual([[1, 'first']]);
  expect(() => compileRe2('a(')).toThrow('error parsing regexp: missing closing ): `a(`');
});
