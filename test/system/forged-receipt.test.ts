import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { call, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';

// Who can write into the store says that everything is committed. The gateway keeps its rows until the cloud says so.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());

const gatewayDir = join(folder.path, 'gateway');

test('a forged receipt frees nothing, and the cloud replaces it', async () => {
  const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const startCloud = () =>
    startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store, '--http-port', `${port}`]);
  const receiptPath = join(folder.path, 'lake', 'demo', 'outbox', 'press-1', 'receipt.json');
  const receiptNow = () => JSON.parse(readFileSync(receiptPath, 'utf8')) as Record<string, unknown>;
  interface Shipper {
    readonly shipments: number;
    readonly receipt: { readonly number: number } | null;
  }
  const first = await startCloud();
  const key = readKey(String(first.ready.keyFile));
  const init = { method: 'POST', body: JSON.stringify({ site: 'north', gateway: 'press-1' }) };
  const made = await call(`${url}/api/v1/firn/admin/tenants/demo/claims`, key, init);
  const { data } = (await made.json()) as { data: { claim: string }[] };
  await using gateway = await startPart('gateway', [
    ...['--data-dir', gatewayDir, ...store, '--cloud-url', url, '--cloud-claim', data[0]?.claim ?? ''],
    ...[
      '--seal-interval-ms',
      '300',
      '--ship-receipt-interval-ms',
      '200',
      '--seal-local-retention-hours',
      '1',
    ],
  ]);
  const write = async (name: string): Promise<void> => {
    const body = `${name} value=1 ${Date.now()}000000`;
    const to = `http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v2/write?bucket=b`;
    expect((await fetch(to, { method: 'POST', body })).status).toBe(204);
  };
  const shipperNow = async (): Promise<Shipper> => {
    const answer = await fetch(`http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v1/firn/status`);
    return ((await answer.json()) as { shipper: Shipper }).shipper;
  };
  const confirmed = async (): Promise<number> => (await shipperNow()).receipt?.number ?? 0;

  await write('before');
  await waitFor('a receipt that counts', 90_000, async () => (await confirmed()) > 0 || undefined);
  await first.kill();
  const before = await confirmed();
  const shipped = (await shipperNow()).shipments;
  await write('after');
  const waiting = await waitFor('a shipment that waits for its receipt', 60_000, async () => {
    const { shipments } = await shipperNow();
    return shipments > shipped ? shipments : undefined;
  });
  const { signed: _, ...plain } = receiptNow();
  writeFileSync(receiptPath, JSON.stringify({ ...plain, number: waiting }));
  await waitFor('the gateway to refuse it', 60_000, async () =>
    /the receipt can not be read.*is not signed/.test(gateway.output()) ? true : undefined,
  );
  expect(await confirmed()).toBe(before);

  await using _second = await startCloud();
  await waitFor('the cloud’s own receipt', 90_000, async () => (await confirmed()) > before || undefined);
  expect(receiptNow()).toHaveProperty('signed');
});
