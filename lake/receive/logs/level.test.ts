import { expect, test } from 'vitest';
import { levelOf, levelOfSeverity } from './level.ts';

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
