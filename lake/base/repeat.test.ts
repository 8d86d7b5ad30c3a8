import { expect, test } from 'vitest';
import type { Clock } from './clock.ts';
import { createLogger } from './log.ts';
import { repeat } from './repeat.ts';

/** Sleeps end at once, and at the latest when they are aborted. */
const quick: Clock = {
  nowMs: () => 0,
  monotonicMs: () => 0,
  sleep: (_, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) reject(signal.reason);
      setImmediate(resolve);
    }),
};

test('work that fails goes on, and is said once until it succeeds', async () => {
  const said: string[] = [];
  const logger = createLogger('warn', (line) => said.push(line));
  const results = [false, false, true, false];
  const { promise, resolve } = Promise.withResolvers<void>();
  const repeated = repeat({ clock: quick, logger, everyMs: 1, failing: 'it fails' }, async () => {
    const result = results.shift();
    if (results.length === 0) resolve();
    if (result === false) throw new Error('why');
  });
  await promise;
  await repeated[Symbol.asyncDispose]();
  expect(said).toHaveLength(2);
  expect(said[0]).toMatch(/it fails.*why/);
});

test('disposing waits for what is under way, and nothing comes after it', async () => {
  const logger = createLogger('silent');
  const steps: string[] = [];
  const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const repeated = repeat({ clock: quick, logger, everyMs: 1, failing: '' }, async () => {
    steps.push('begun');
    begin();
    await released;
    steps.push('done');
  });
  await begun;
  const ended = repeated[Symbol.asyncDispose]();
  release();
  await ended;
  expect(steps).toEqual(['begun', 'done']);
});
