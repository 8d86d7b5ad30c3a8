import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, type Part, readKey, run, runFirn, startPart, temporaryFolder } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { makeStick, type TestStick } from '../harness/stick.ts';

// A plant without any network: what its gateway received reaches the cloud on a stick, and the receipt that comes back
// on the stick frees the gateway's disk. All by the commands that a person types.

const folder = temporaryFolder();
const gatewayDir = join(folder.path, 'gateway');
const cloudFlags = [
  ...['--data-dir', join(folder.path, 'cloud'), '--store-kind', 'directory'],
  ...['--store-path', join(folder.path, 'lake')],
];
const gatewayFlags = [
  ...['--data-dir', gatewayDir, '--seal-interval-ms', '300', '--seal-local-retention-hours', '0.0001'],
];
let stick: TestStick;
let cloud: Part;
let gateway: Part;
let key: { id: string; secret: string };
let published = 0;

beforeAll(async () => {
  stick = makeStick(folder.path, 'stick');
  console.log(`the stick is ${stick.kind === 'exFAT' ? 'an exFAT file system' : 'a folder'}`);
  cloud = await startPart('cloud', cloudFlags);
  key = readKey(String(cloud.ready.keyFile));
  gateway = await startPart('gateway', gatewayFlags);
});
afterAll(async () => {
  await gateway?.kill();
  await cloud?.kill();
  stick?.[Symbol.dispose]();
  folder[Symbol.dispose]();
});

/** Publishes readings whose values say which they are. */
async function publish(count: number): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  for (let more = 0; more < count; more++)
    await client.publishAsync('plant/line1/reading', String(published++), { qos: 1 });
  await client.endAsync();
}

const ship = (command: string, ...flags: string[]) => runFirn('ship', command, ...flags);
const exportTo = (...flags: string[]) => ship('export', '--to', stick.path, ...gatewayFlags, ...flags);
const importStick = (...flags: string[]) => ship('import', stick.path, ...cloudFlags, ...flags);
const overHttp = (): string[] => ['--http-port', String(gateway.port('gatewayHttp'))];

/** What the cloud has of the readings: rows, and different values. */
async function counted(): Promise<unknown> {
  const answer = await call(`http://127.0.0.1:${cloud.port('cloudHttp')}/api/v1/firn/sql`, key, {
    method: 'POST',
    body: JSON.stringify({
      sql: `SELECT count(*), count(DISTINCT value), min(value), max(value) FROM metrics WHERE name = 'reading'`,
    }),
    headers: { 'Content-Type': 'application/json' },
  });
  const { rows } = (await answer.json()) as { rows: unknown[][] };
  return rows[0];
}
/** What the cloud says that it has refused. */
async function quarantined(): Promise<unknown[]> {
  const answer = await call(`http://127.0.0.1:${cloud.port('cloudHttp')}/api/v1/firn/quarantine`, key);
  return ((await answer.json()) as { data: { refused: unknown[] } }).data.refused;
}
const allOnce = (): unknown[] => [published, published, 0, published - 1];

const localFiles = (): string[] => {
  const entries = readdirSync(join(gatewayDir, 'segments'), { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
};
/** Names of the segments in all bundles. */
const exportedFiles = (): string[] =>
  bundles().flatMap((folder) => {
    const index = readFileSync(join(stick.path, folder, 'bundle.json'), 'utf8');
    const { segments } = JSON.parse(index) as { segments: { key: string }[] };
    return segments.map(({ key: name }) => basename(name));
  });
const bundles = (): string[] => readdirSync(stick.path).filter((name) => name.startsWith('firn_'));

test('a stick from a gateway that nobody knows is refused with the command that makes it known', async () => {
  await publish(50);
  const exported = await exportTo(...overHttp());
  expect(exported).toMatchObject({ code: 0, stderr: '' });
  expect(exported.stdout).toMatch(/^firn_demo_gateway-1_\d+_1-\d+: \d+ shipments, \d+ bytes\n$/);
  const refused = await importStick();
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(
    /^firn_demo_gateway-1_\S+: refused: no key is trusted for gateway gateway-1 of tenant demo\n/,
  );
  expect(await quarantined()).toMatchObject([
    { gateway: 'gateway-1', number: 1, reason: expect.stringContaining('no key is trusted') },
  ]);
  expect(refused.stderr).toContain('`firn ship trust --tenant demo --gateway gateway-1 PUBKEY_FILE`');
  const pubkey = join(folder.path, 'gateway.pem');
  writeFileSync(pubkey, (await ship('key', ...gatewayFlags)).stdout);
  expect(
    await ship('trust', '--tenant', 'demo', '--gateway', 'gateway-1', pubkey, ...cloudFlags),
  ).toMatchObject({ code: 0, stderr: '' });
});

test('what is imported beside a cloud that runs is there once, however often it is imported', async () => {
  const imported = await importStick('--json');
  expect(imported).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(imported.stdout)).toMatchObject({
    bundles: [{ outcome: 'committed' }],
    receipts: [{ gateway: 'gateway-1', file: 'receipt_demo_gateway-1.json' }],
  });
  await waitFor('the cloud to see it', 10_000, async () =>
    String(await counted()) === String(allOnce()) ? true : undefined,
  );
  const again = await importStick();
  expect(again.stdout).toContain('was committed before');
  expect(await counted()).toEqual(allOnce());
  const psql = findProgram('psql');
  if (!psql) return console.log('psql is not installed: asked over HTTP only');
  const connection = ['-h', '127.0.0.1', '-p', String(cloud.port('cloudPg')), '-U', key.id, '-At', 'demo'];
  const query = `SELECT count(*), count(DISTINCT value) FROM metrics WHERE name = 'reading'`;
  const answer = await run(psql, [...connection, '-c', query], { PGPASSWORD: key.secret });
  expect(answer.stdout.trim()).toBe(`${published}|${published}`);
});

test('a receipt of an unknown or forged hand frees nothing; the trusted one frees the disk', async () => {
  const before = exportedFiles();
  expect(before.length).toBeGreaterThan(0);
  expect(localFiles()).toEqual(expect.arrayContaining(before));
  const unknown = await exportTo(...overHttp());
  expect(unknown.code).toBe(1);
  expect(unknown.stderr).toContain('this gateway trusts no cloud yet');
  expect(unknown.stderr).toContain('firn ship trust-cloud PUBKEY_FILE');
  const pubkey = join(folder.path, 'cloud.pem');
  writeFileSync(pubkey, (await ship('cloud-key', ...cloudFlags)).stdout);
  expect(await ship('trust-cloud', pubkey, ...gatewayFlags)).toMatchObject({ code: 0, stderr: '' });
  const receipt = join(stick.path, 'receipt_demo_gateway-1.json');
  const good = readFileSync(receipt, 'utf8');
  const forged = join(folder.path, 'forged.json');
  writeFileSync(forged, good.replace(/number\\":(\d+)/, 'number\\":999'));
  const refused = await ship('receipt', forged, ...gatewayFlags, ...overHttp());
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('damaged or forged') });
  expect(localFiles()).toEqual(expect.arrayContaining(before));
  const taken = await exportTo('--prune', ...overHttp());
  expect(taken).toMatchObject({ code: 0, stderr: '' });
  expect(taken.stdout).toMatch(/^the cloud has shipments up to \d+$/m);
  const left = await waitFor('the disk to be freed', 30_000, async () => {
    const still = before.filter((name) => localFiles().includes(name));
    return still.length === 0 ? still : undefined;
  });
  expect(left).toEqual([]);
});

test('without a running gateway and without a running cloud it goes as well', async () => {
  rmSync(join(stick.path, 'receipt_demo_gateway-1.json'), { force: true });
  for (const name of bundles()) rmSync(join(stick.path, name), { recursive: true });
  await publish(40);
  await gateway.kill(); // with rows that are only in the log
  await cloud.stop();
  const exported = await exportTo();
  expect(exported).toMatchObject({ code: 0, stderr: '' });
  const status = await ship('status', '--json', ...gatewayFlags);
  expect(JSON.parse(status.stdout)).toMatchObject({
    waiting: { backlog: { segments: 0 }, newest: { segments: 0 } },
    numbered: { shipped: 0 },
  });
  const { numbered } = JSON.parse(status.stdout) as { numbered: { shipments: number; exported: number } };
  expect(numbered.exported).toBe(numbered.shipments);
  expect(await importStick()).toMatchObject({ code: 0, stderr: '' });
  expect(await exportTo()).toMatchObject({ code: 0, stderr: '' });
  const after = JSON.parse((await ship('status', '--json', ...gatewayFlags)).stdout) as typeof status & {
    numbered: { shipments: number };
  };
  expect(after.numbered.shipments).toBe(0);
  cloud = await startPart('cloud', cloudFlags);
  expect(await counted()).toEqual(allOnce());
});

test('a damaged bundle is refused and the others on the stick go on; the network brings the rest', async () => {
  gateway = await startPart('gateway', gatewayFlags);
  for (const name of bundles()) rmSync(join(stick.path, name), { recursive: true });
  await publish(30);
  await exportTo(...overHttp());
  await publish(30);
  await exportTo('--json', ...overHttp());
  const [good = '', bad = ''] = bundles().sort(
    (a, b) => Number(a.split('_')[4]?.split('-')[0]) - Number(b.split('_')[4]?.split('-')[0]),
  );
  const file = join(stick.path, bad, 'segments', '000001.parquet');
  const bytes = readFileSync(file);
  bytes[100] = (bytes[100] ?? 0) ^ 0x20;
  writeFileSync(file, bytes);
  const imported = await importStick();
  expect(imported.code).toBe(1);
  expect(imported.stdout).toContain(`${good}: committed`);
  expect(imported.stderr).toContain(`${bad}: refused: it is damaged: segments/000001.parquet`);
  expect(await quarantined()).toMatchObject([
    { manifest: bad, reason: expect.stringContaining('it is damaged') },
  ]);
  await gateway.stop();
  const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
  gateway = await startPart('gateway', [...gatewayFlags, ...store]);
  await waitFor('the rest by network', 30_000, async () =>
    String(await counted()) === String(allOnce()) ? true : undefined,
  );
  // The bundle that was exported before, whole: it is late, and counted once.
  cpSync(join(stick.path, good), join(stick.path, 'again'), { recursive: true });
  await exportTo(...overHttp(), ...store);
  await importStick();
  expect(await counted()).toEqual(allOnce());
});
