import { expect, test } from 'vitest';
import { createTurns } from './turns.ts';

test('so many run at once, the others in the order in which they came; one that gives up takes no turn', async () => {
  const turns = createTurns(2);
  const never = new AbortController().signal;
  const impatient = new AbortController();
  const begun: number[] = [];
  const ends = Array.from({ length: 5 }, () => Promise.withResolvers<void>());
  const all = ends.map((end, index) =>
    turns(
      async () => {
        begun.push(index);
        await end.promise;
        if (index === 0) throw new Error('failed');
      },
      index === 2 ? impatient.signal : never,
    ),
  );
  const settled = Promise.allSettled(all);
  await Promise.resolve();
  expect(begun).toEqual([0, 1]);
  impatient.abort(new Error('late'));
  await expect(all[2]).rejects.toThrow('late');
  ends[0]?.resolve();
  await expect(all[0]).rejects.toThrow('failed');
  await expect.poll(() => begun).toEqual([0, 1, 3]);
  for (const end of ends) end.resolve();
  expect((await settled).map(({ status }) => status)).toEqual([
    ...['rejected', 'fulfilled', 'rejected', 'fulfilled', 'fulfilled'],
  ]);
  expect(begun).toEqual([0, 1, 3, 4]);
});
