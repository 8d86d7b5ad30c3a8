import { expect, test } from 'vitest';
import { levelOf, levelOfLine, levelOfSeverity } from './level.ts';

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
  ['', 'unknown'],
])('%s: %s', (line, level) => expect(levelOfLine(line)).toBe(level));

test('labels name a level in an order of preference, and one that is not known stays', () => {
  const of = (labels: Record<string, string>) => levelOf((name) => labels[name]);
  expect(of({ severity: 'WRN', level: 'Information' })).toBe('info');
  expect(of({ lvl: 'notice' })).toBe('notice');
  expect(of({ app: 'x' })).toBeUndefined();
});

test('severity numbers of OpenTelemetry', () => {
  expect([0, 1, 4, 5, 9, 13, 17, 21, 24, 25].map(levelOfSeverity)).toEqual([
    ...['unknown', 'trace', 'trace', 'debug', 'info', 'warn', 'error', 'fatal', 'fatal', 'unknown'],
  ]);
});
