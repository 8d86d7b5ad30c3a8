import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, type Part, promql, readKey, run, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';

// A gateway's life with its cloud, through the real processes and the commands that a person uses.

const folder = temporaryFolder();
const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
const gatewayDir = join(folder.path, 'gateway');
let cloud: Part;
let gateway: Part;
let url: string;
let key: { id: string; secret: string };
let cloudFlags: string[];

interface Listed {
  readonly report: { readonly version: string; readonly readings: Record<string, number> } | null;
}

async function firn<T>(...argv: string[]): Promise<T> {
  const env = { FIRN_URL: url, FIRN_KEY: `${key.id}:${key.secret}` };
  const { code, stdout, stderr } = await run(process.execPath, [program, ...argv, '--json'], env);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout) as T;
}

/** The same by HTTP, for what is asked again and again. */
async function ask<T>(path: string): Promise<T> {
  const answer = await call(`${url}/api/v1/firn/admin/tenants/demo${path}`, key);
  return ((await answer.json()) as { data: T }).data;
}

const startGateway = (...more: string[]): Promise<Part> =>
  startPart('gateway', ['--data-dir', gatewayDir, ...store, '--seal-interval-ms', '300', ...more]);

const write = async (name: string): Promise<void> => {
  const body = `${name} value=1 ${Date.now()}000000`;
  const sent = await fetch(`http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v2/write?bucket=b`, {
    method: 'POST',
    body,
  });
  expect(sent.status).toBe(204);
};

const inCloud = (name: string) =>
  waitFor(`${name} in the cloud`, 60_000, async () => (await promql(url, name, key)).data.result[0]?.metric);

beforeAll(async () => {
  const port = await freePort();
  cloudFlags = ['--data-dir', join(folder.path, 'cloud'), ...store, '--http-port', `${port}`];
  cloudFlags.push('--fleet-heartbeat-seconds', '1');
  cloud = await startPart('cloud', cloudFlags);
  url = `http://127.0.0.1:${port}`;
  key = readKey(String(cloud.ready.keyFile));
});
afterAll(async () => {
  await gateway?.stop();
  await cloud?.stop();
  folder[Symbol.dispose]();
});

test('a claim from a printed sheet makes a gateway, which says how it does', async () => {
  const sheet = join(folder.path, 'sheet.html');
  const [made] = await firn<{ claim: string }[]>(
    ...['claims', 'create', '--tenant', 'demo', '--site', 'north', '--gateway', 'press-1', '--sheet', sheet],
  );
  expect(made?.claim).toMatch(new RegExp(`^${url}/#[0-9A-Z]{4}-`));
  expect(readFileSync(sheet, 'utf8')).toContain(made?.claim);
  gateway = await startGateway('--cloud-claim', made?.claim ?? '');
  await write('before');
  expect(await inCloud('before')).toMatchObject({ site: 'north', gateway: 'press-1' });
  const seen = await waitFor('the heartbeat', 60_000, async () => {
    const [found] = await ask<Listed[]>('/gateways');
    return found?.report?.readings.ship_connected === 1 ? found.report : undefined;
  });
  expect(await firn('gateways', 'list', '--tenant', 'demo')).toMatchObject([{ id: 'press-1' }]);
  expect(seen).toMatchObject({ version: '0.1.0', readings: { cpu_load_ratio: expect.any(Number) } });
});

test('settings are applied without a restart of the process, or refused; commands are carried out', async () => {
  const settings = join(folder.path, 'settings.yaml');
  const roll = (text: string): Promise<unknown> => {
    writeFileSync(settings, text);
    const flags = ['--tenant', 'demo', '--settings', settings, '--stages', '100', '--bake-seconds', '0'];
    return firn('rollouts', 'create', ...flags);
  };
  const stateOf = async (): Promise<unknown> =>
    (await ask<{ state: string; detail: string }[]>('/rollouts')).map(
      ({ state, detail }) => `${state} ${detail}`,
    );
  await roll('mqtt: { templates: [{ topic: "{plant}/{line}/{sensor}" }] }');
  await expect.poll(stateOf, { timeout: 120_000 }).toEqual(['done ']);
  const mqtt = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  await mqtt.publishAsync('works/line1/heat', '1', { qos: 1 });
  await mqtt.endAsync();
  expect(await inCloud('heat')).toMatchObject({ plant: 'works', line: 'line1', gateway: 'press-1' });
  await roll('seal: { rowsMax: -1 }');
  const halted = 'halted 1 of 1 gateways refused it or rolled it back: press-1';
  await expect.poll(stateOf, { timeout: 120_000 }).toEqual([halted, 'done ']);
  await roll('tenant: other');
  await expect.poll(stateOf, { timeout: 120_000 }).toEqual([halted, halted, 'done ']);
  const logs = await firn<{ ok: boolean; output: string }>(
    'gateways',
    'run',
    'press-1',
    'logs',
    '--tenant',
    'demo',
  );
  expect(logs).toMatchObject({
    ok: true,
    output: expect.stringMatching(/settings of the cloud are refused.*rowsMax/),
  });
  const keyFile = join(gatewayDir, 'identity', 'device.key');
  const before = readFileSync(keyFile, 'utf8');
  for (const command of ['rotate-key', 'restart', 'diagnostic'])
    expect(await firn('gateways', 'run', 'press-1', command, '--tenant', 'demo')).toMatchObject({ ok: true });
  expect(readFileSync(keyFile, 'utf8')).not.toBe(before);
  await write('after');
});

test('without the cloud nothing on site waits, also after a restart', async () => {
  await cloud.stop();
  await gateway.kill();
  gateway = await startGateway();
  await write('offline');
  const local = await promql(`http://127.0.0.1:${gateway.port('gatewayHttp')}`, 'offline');
  expect(local.data.result[0]?.metric).toMatchObject({ site: 'north', gateway: 'press-1' });
  cloud = await startPart('cloud', cloudFlags);
  expect(await inCloud('offline')).toMatchObject({ site: 'north', gateway: 'press-1' });
});

test('a revoked gateway is refused, and says so on site', async () => {
  await firn('gateways', 'revoke', 'press-1', '--tenant', 'demo');
  const status = await waitFor('the refusal', 120_000, async () => {
    const answer = await call(`http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v1/firn/status`);
    const { cloud: said } = (await answer.json()) as { cloud: { lastError?: string } };
    return said.lastError?.includes('401') ? said.lastError : undefined;
  });
  expect(status).toMatch(/this gateway is not known, or no more/);
  await write('revoked');
});

test.each([
  [['claims', 'create', '--tenant', 'demo', '--site', 'No Such'], 'site id "No Such" is not valid'],
  [['claims', 'create', '--tenant', 'nobody', '--site', 'north'], 'this key may not do that'],
  [['claims', 'revoke', 'nothing', '--tenant', 'demo'], 'there is no claim nothing'],
  [['gateways', 'show', '../x', '--tenant', 'demo'], 'there is no gateway ../x'],
  [['enroll', '--claim', 'x', '--data-dir', gatewayDir], 'another gateway runs on the folder'],
  [['enroll', '--claim', 'x', '--data-dir', join(folder.path, 'x')], 'the claim is not valid'],
])('firn %j says what is wrong', async (argv, message) => {
  await expect(firn(...argv)).rejects.toThrow(message);
});
