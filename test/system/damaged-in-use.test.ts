import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { expect, test } from 'vitest';
import { call, promql, startPart, temporaryFolder } from '../harness/firn.ts';

// The log is damaged under a running gateway: it must go on, and say what is lost.

/** Every page but the first becomes rubbish. */
function damage(path: string): void {
  const { size } = statSync(path);
  const file = openSync(path, 'r+');
  const rubbish = Buffer.alloc(4096, 0xa5);
  for (let at = 4096; at < size; at += 4096) writeSync(file, rubbish, 0, 4096, at);
  closeSync(file);
}

test('a log that is damaged in use is put aside; the gateway goes on and names what is missing', async () => {
  using folder = temporaryFolder();
  const dataDir = join(folder.path, 'gateway');
  const sealLater = ['--seal-interval-ms', '8000', '--seal-bytes-max', '100000000'];
  await using gateway = await startPart('gateway', ['--data-dir', dataDir, ...sealLater]);
  const base = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`, { reconnectPeriod: 100 });
  const publish = (value: number): Promise<unknown> =>
    client.publishAsync('plant/line1/level', String(value), { qos: 1 });
  // So much that the database itself has pages of batches, and not only its -wal file.
  for (let line = 0; line < 240; line++)
    await client.publishAsync('plant/line1/log', `${line} ${'x'.repeat(100_000)}`, { qos: 1 });
  const status = async () =>
    (await (await call(`${base}/api/v1/firn/status`)).json()) as {
      log: { epoch: number; reasons: string[] };
    };
  const before = await status();
  damage(join(dataDir, 'wal.db'));
  // The next seal reads what the writer still has in its memory.
  await expect.poll(gateway.output, { timeout: 30_000 }).toMatch(/the log is damaged; it is put aside/);
  await expect
    .poll(async () => (await status().catch(() => before)).log.epoch, { timeout: 30_000 })
    .toBeGreaterThan(before.log.epoch);
  await publish(2000);
  await expect
    .poll(async () => (await promql(base, 'level')).data.result[0]?.value[1], { timeout: 10_000 })
    .toBe('2000');
  const sql = async (text: string) => {
    const headers = { 'Content-Type': 'application/json' };
    const init = { method: 'POST', headers, body: JSON.stringify({ sql: text }) };
    const answer = await call(`${base}/api/v1/firn/sql`, undefined, init);
    return ((await answer.json()) as { rows: unknown[][] }).rows;
  };
  await expect
    .poll(async () => (await sql('SELECT count(*) FROM gaps'))[0]?.[0], { timeout: 30_000 })
    .not.toBe(0);
  await client.endAsync(true);
  expect(await gateway.stop()).toBe(0);
});
