import { expect, test } from 'vitest';
import { createParameters, millisecondsOf } from './parameters.ts';

test.each([
  ['0', 0],
  ['500', 500],
  ['500ms', 500],
  ['2 min', 120_000],
  ['1.5s', 1500],
  ['10us', 1],
])('a timeout of %j is %d ms', (text, expected) => {
  expect(millisecondsOf('statement_timeout', text)).toBe(expected);
});

test.each(['', 'soon', '-1', '5 parsecs'])('a timeout of %j is refused when it is set', (text) => {
  const parameters = createParameters('user');
  expect(() => parameters.set('statement_timeout', text)).toThrow(/statement_timeout/);
  expect(parameters.show('statement_timeout').value).toBe('0');
});
