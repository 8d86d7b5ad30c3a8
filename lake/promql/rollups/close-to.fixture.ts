import { expect } from 'vitest';

/** The same, numbers within 1e-12 of each other (of the larger one), or within `tolerance`. */
export function closeTo(actual: unknown, expected: unknown, tolerance: number, path = ''): void {
  if (typeof actual === 'number' && typeof expected === 'number') {
    const relative = 1e-12 * Math.max(Math.abs(actual), Math.abs(expected));
    if (Object.is(actual, expected) || Math.abs(actual - expected) <= Math.max(relative, tolerance)) return;
    expect(actual, path).toBe(expected);
  } else if (
    typeof actual === 'object' &&
    actual !== null &&
    typeof expected === 'object' &&
    expected !== null
  ) {
    const [own, its] = [Object.entries(actual), new Map(Object.entries(expected))];
    expect(
      own.map(([key]) => key),
      path,
    ).toEqual([...its.keys()]);
    for (const [key, value] of own) closeTo(value, its.get(key), tolerance, `${path}.${key}`);
  } else expect(actual, path).toEqual(expected);
}
