import { expect, test } from 'vitest';
import { createFairQueue } from './fair-queue.ts';

const errors = {
  refused: (message: string) => new Error(message),
  canceled: (cause: unknown) => new Error('canceled', { cause }),
};
const limits = { runningMax: 3, runningPerTenantMax: 2, waitingPerTenantMax: 4 };

const settled = (): Promise<unknown> => new Promise(setImmediate);

/** Queries that end when they are told to, in a queue; says which have begun. */
function queries() {
  const queue = createFairQueue(errors, limits);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  return {
    begun,
    ask: (tenant: string, name: string, signal = new AbortController().signal): Promise<string> =>
      queue.run(tenant, signal, () => {
        begun.push(name);
        const { promise, resolve } = Promise.withResolvers<string>();
        ends.set(name, () => resolve(name));
        return promise;
      }),
    end: async (name: string): Promise<void> => {
      ends.get(name)?.();
      await settled();
    },
  };
}

test('long queries of one tenant do not keep another waiting', async () => {
  const { begun, ask, end } = queries();
  const all = ['a1', 'a2', 'a3', 'a4', 'a5'].map((name) => ask('a', name));
  all.push(ask('b', 'b1'));
  await settled();
  expect(begun).toEqual(['a1', 'a2', 'b1']);
  // All places are taken: who waits is served in turn, however many the first has waiting.
  all.push(ask('b', 'b2'), ask('c', 'c1'));
  await end('a1');
  await end('a2');
  await end('b1');
  expect(begun.slice(3).sort()).toEqual(['a3', 'b2', 'c1']);
  for (const name of ['a3', 'b2', 'c1', 'a4', 'a5']) await end(name);
  expect((await Promise.all(all)).toSorted()).toEqual(begun.toSorted());
});

test('a tenant whose queue is full is told the limit, and others are not', async () => {
  const { ask, end } = queries();
  const running = ['1', '2', '3', '4', '5', '6'].map((name) => ask('a', name));
  await expect(ask('a', '7')).rejects.toThrow('waitingPerTenantMax = 4');
  const other = ask('b', 'b');
  await settled();
  await end('b');
  expect(await other).toBe('b');
  for (const name of ['1', '2', '3', '4', '5', '6']) await end(name);
  await Promise.all(running);
});

test('a query that is given up while it waits never runs, and leaves its place', async () => {
  const { begun, ask, end } = queries();
  const [one, two] = [ask('a', '1'), ask('a', '2')];
  const gone = new AbortController();
  const waiting = ask('a', 'gone', gone.signal);
  const next = ask('a', '3');
  gone.abort();
  await expect(waiting).rejects.toThrow('canceled');
  for (const name of ['1', '2', '3']) await end(name);
  await Promise.all([one, two, next]);
  expect(begun).toEqual(['1', '2', '3']);
});
