import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { createWriter } from './writer.ts';

test('when the thread dies, what waits and what comes later is rejected, and the owner is told once', async () => {
  const worker = new Worker(`setTimeout(() => { throw new Error('out of memory') }, 20)`, { eval: true });
  // Asked for before the thread dies: where the machine is busy, 'error' and 'exit' come in one go.
  const exited = new Promise((resolve) => worker.once('exit', resolve));
  const failures: string[] = [];
  const writer = createWriter(
    worker,
    'wal.db',
    { epoch: 1, lastSeq: 0 },
    {
      onCommit: () => undefined,
      onSpare: () => undefined,
      onFailure: ({ message }) => failures.push(message),
      onDamage: () => undefined,
    },
  );
  const expected = { code: 'unavailable', message: expect.stringContaining('out of memory') };
  await expect(writer.request({ kind: 'flush' }, 5)).rejects.toMatchObject(expected);
  expect(writer.queuedBytes()).toBe(0);
  await exited;
  await expect(writer.request({ kind: 'flush' }, 5)).rejects.toMatchObject(expected);
  expect(failures).toHaveLength(1);
  await writer.close();
});
