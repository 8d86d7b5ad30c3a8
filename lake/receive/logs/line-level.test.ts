import fc from 'fast-check';
import { expect, test } from 'vitest';
import { levelOfLine, levelOfString } from './line-level.ts';

const levelIn = (line: string): string => {
  const bytes = Buffer.from(`level=error [${line}] level=error`);
  return levelOfLine(bytes, 13, bytes.length - 13);
};

test.each([
  ['server started', 'unknown'],
  ['INFO: server started', 'info'],
  ['[error] disk', 'error'],
  ['err: disk', 'error'],
  ['an error', 'unknown'],
  ['warning: hot', 'warn'],
  ['WARN: hot', 'warn'],
  ['[CRITICAL] stop', 'critical'],
  ['debugging', 'debug'],
  ['{"level":"WARN","msg":"info"}', 'warn'],
  [' {"msg":"x","nested":{"severity":"err"}} ', 'error'],
  ['{"a":{"b":{"level":"warn"}}}', 'unknown'],
  ['{"list":[{"level":"error"}]}', 'unknown'],
  ['{"level":"odd","msg":"info"}', 'info'],
  ['{"text":"\\"level\\":\\"error\\"","lvl":"dbg"}', 'debug'],
  ['ts=1 level=warn msg="level=error"', 'warn'],
  ['severity=error lvl=debug', 'error'],
  ['msg="no level=error here" n=1', 'unknown'],
  ['Level="Fatal" n=1', 'fatal'],
  ['level=odd INFO', 'info'],
  ['grün level=warn', 'warn'],
  ['', 'unknown'],
])('%s: %s', (line, level) => {
  expect(levelOfString(line)).toBe(level);
  expect(levelIn(line)).toBe(level);
});

test('of the bytes of a line the answer is that of the string', () => {
  const word = fc.constantFrom(
    ...['level', 'LEVEL', 'lvl', 'severity', 'info', 'INFO', 'err', 'ERROR', 'error', 'warn', 'WARNING'],
    ...['critical', 'DEBUG', 'debug', 'fatal', 'x', '1', 'ü', '\u00a0', '\u2028', 'leve', 'inf', 'warnin'],
    ...['=', '=', '=', '"', ' ', ' ', ' ', ':', '[', ']', '{', '}', '\t', '\\', ',', '%'],
  );
  let named = 0;
  fc.assert(
    fc.property(fc.array(word, { maxLength: 14 }), (words) => {
      const line = words.join('');
      const level = levelOfString(line);
      named += Number(level !== 'unknown');
      expect(levelIn(line)).toBe(level);
    }),
    { numRuns: 2000 },
  );
  expect(named).toBeGreaterThan(100);
});
