import { once } from 'node:events';
import { getPriority } from 'node:os';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';

test.skipIf(process.platform !== 'linux')(
  'a thread in the background is less urgent, and it alone',
  async () => {
    const before = getPriority();
    const code = `
    import { readlinkSync } from 'node:fs';
    import { getPriority } from 'node:os';
    import { basename } from 'node:path';
    import { parentPort } from 'node:worker_threads';
    import { runInBackground } from ${JSON.stringify(new URL('./background-thread.ts', import.meta.url).href)};
    runInBackground();
    parentPort.postMessage(getPriority(Number(basename(readlinkSync('/proc/thread-self')))));`;
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`));
    const [priority] = await once(worker, 'message');
    await worker.terminate();
    expect(priority).toBe(10);
    expect(getPriority()).toBe(before);
  },
);
