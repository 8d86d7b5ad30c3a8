import { expect, test } from 'vitest';
import { systemClock } from './clock.ts';
import { backoffMs, createBell } from './retry.ts';

const never = new AbortController().signal;

test('a bell wakes who waits, once for each wait, and remembers a ring that nobody heard', async () => {
  const bell = createBell(systemClock);
  const woken: string[] = [];
  const waiting = bell.wait(never).then(() => woken.push('ring'));
  bell.ring();
  await waiting;
  bell.ring();
  bell.ring();
  await bell.wait(never).then(() => woken.push('remembered'));
  await Promise.race([
    bell.wait(never, 10_000).then(() => woken.push('third')),
    systemClock.sleep(20).then(() => woken.push('quiet')),
  ]);
  expect(woken).toEqual(['ring', 'remembered', 'quiet']);
});

test('a wait ends after its time, and when it is aborted', async () => {
  const bell = createBell(systemClock);
  await bell.wait(never, 1);
  const stop = new AbortController();
  const waiting = bell.wait(stop.signal);
  stop.abort();
  await waiting;
  await bell.wait(stop.signal);
});

test.each([
  [1, 0, 100],
  [2, 0, 200],
  [4, 0, 800],
  [5, 0, 1000],
  [500, 0, 1000],
  [1, 0.5, 75],
  [500, 1, 500],
])('after %i failures with random %f it waits %i ms', (failures, random, expected) => {
  expect(backoffMs(failures, { retryMinMs: 100, retryMaxMs: 1000 }, random)).toBe(expected);
});
