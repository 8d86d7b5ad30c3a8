import { expect, test } from 'vitest';
import { compileRegexp } from './regexp.ts';

test.each([
  ['a.c', ['abc', 'a\nc'], ['abcd', 'xabc', 'ac']],
  ['a|b', ['a', 'b'], ['ab', '']],
  ['(?i)abc', ['ABC'], ['ab']],
  ['x(?i)abc', ['xABC'], ['XABC']],
  ['((?i)a)b', ['Ab'], ['AB']],
  ['(?i:a)b', ['Ab'], ['AB']],
  ['a(?-s).', ['ab'], ['a\n']],
  [String.raw`\Qa.b\E+`, ['a.b', 'a.bb'], ['axb']],
  ['[[:alpha:]]+', ['ab'], ['a1']],
  ['[]a]', [']', 'a'], ['b']],
  ['[^]a]', ['b'], [']']],
  [String.raw`\-\_\/\"`, ['-_/"'], []],
  [String.raw`\pL\p{Greek}`, ['aλ'], ['aa']],
  [String.raw`\x{61}\x62\141`, ['aba'], []],
  ['a{', ['a{'], ['a']],
  ['a{2,}', ['aa', 'aaa'], ['a']],
  ['{}', ['{}'], []],
  ['😀.', ['😀x', '😀😀'], ['😀']],
  ['(?P<x>a)(?<y>b)', ['ab'], []],
  ['.*', ['', 'x\ny'], []],
])('%s matches %j and not %j', (pattern, yes, no) => {
  const regexp = compileRegexp(pattern);
  expect(yes.filter((text) => !regexp.test(text))).toEqual([]);
  expect(no.filter((text) => regexp.test(text))).toEqual([]);
});

test.each([
  ['(', 'missing closing ): `(`'],
  ['a)', 'unexpected ): `a)`'],
  ['[a', 'missing closing ]: `[a`'],
  ['*a', 'missing argument to repetition operator: `*`'],
  ['a**', 'invalid nested repetition operator: `**`'],
  ['\\y', 'invalid escape sequence: `\\y`'],
  ['\\1', 'invalid escape sequence: `\\1`'],
  ['(?=a)', 'invalid or unsupported Perl syntax: `(?=`'],
  ['(?<!a)', 'invalid or unsupported Perl syntax: `(?<`'],
  ['a\\', 'trailing backslash at end of expression: ``'],
])('%s is refused', (pattern, message) => {
  expect(() => compileRegexp(pattern)).toThrow(`error parsing regexp: ${message}`);
});
