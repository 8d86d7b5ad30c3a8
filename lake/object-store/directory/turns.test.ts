import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTurns, turnMsMax, turnWaitMsMax } from './turns.ts';

let folder = '';
let nowMs = 0;
let onSleep: () => void = () => undefined;
const clock = {
  nowMs: () => nowMs,
  monotonicMs: () => nowMs,
  sleep: async (ms: number, signal?: AbortSignal) => {
    signal?.throwIfAborted();
    nowMs += ms;
    onSleep();
  },
};
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-turns-'));
  mkdirSync(join(folder, 'turns'));
  nowMs = 0;
  onSleep = () => undefined;
});
afterEach(() => rmSync(folder, { recursive: true }));

const stage = (name: string) => {
  mkdirSync(join(folder, name, name), { recursive: true });
  return { name, folder: join(folder, name) };
};
const take = (name: string, signal?: AbortSignal) =>
  createTurns(join(folder, 'turns'), clock).take('put', 'key', stage(name), signal);

test('a turn is taken when it is free, and free when what holds it is moved away', async () => {
  const first = await take('a');
  expect(existsSync(first)).toBe(true);
  onSleep = () => rmSync(first, { recursive: true, force: true });
  const second = await take('b');
  expect([existsSync(first), existsSync(second)]).toEqual([false, true]);
  expect(nowMs).toBeLessThan(turnMsMax);
});

test('a turn that stays in the same hands is broken', async () => {
  const first = await take('a');
  const second = await take('b');
  expect([existsSync(first), existsSync(second)]).toEqual([false, true]);
  expect(nowMs).toBeGreaterThan(turnMsMax);
  expect(nowMs).toBeLessThan(turnMsMax + 100);
});

test('who finds the turn in ever other hands gives up', async () => {
  const turn = join(await take('a'), '..');
  let count = 0;
  onSleep = () => {
    for (const name of readdirSync(turn)) rmSync(join(turn, name), { recursive: true });
    mkdirSync(join(turn, `other-${++count}`));
  };
  await expect(take('b')).rejects.toMatchObject({ code: 'unavailable' });
  expect(nowMs).toBeGreaterThan(turnWaitMsMax);
});

test('waiting ends when aborted', async () => {
  await take('a');
  const stop = new AbortController();
  onSleep = () => stop.abort(new Error('enough'));
  await expect(take('b', stop.signal)).rejects.toThrow('enough');
});
