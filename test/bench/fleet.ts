import { createHash, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type GatewayRow, openFleetDatabase } from '../../cloud/fleet/fleet-database.ts';
import { openTenantStore } from '../../cloud/tenants/tenant-store.ts';
import { ecdsaSigner, signJws } from '../../lake/base/jws.ts';
import { createLogger } from '../../lake/base/log.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { openAuthority } from '../../provisioning/authority-files.ts';
import { fleetPaths, gatewayUri, sessionType } from '../../provisioning/contract.ts';
import { type Part, startPart, temporaryFolder } from '../harness/firn.ts';
import { cpuSeconds, peakMemoryBytes } from '../harness/process.ts';
import { readFlags } from './flags.ts';

// `npm run bench -- fleet`: how one cloud process bears a fleet. First all gateways come at once, as after an outage, each
// with a session to begin; then each says every 30 seconds how it does.

const heartbeatSeconds = 30;
const steadySeconds = 60;
const connections = 500;
const tenant = tenantId('acme');

interface Gateway {
  readonly id: string;
  readonly certificate: X509Certificate;
  token: string;
}

interface Made {
  readonly fleet: Gateway[];
  readonly key: KeyObject;
  readonly issuing: X509Certificate;
}

export async function main(argv: readonly string[]): Promise<void> {
  const options = { gateways: { type: 'string', default: '10000', about: 'of the fleet' } } as const;
  const values = readFlags(argv, options);
  using folder = temporaryFolder();
  const dataDir = join(folder.path, 'cloud');
  const made = await makeFleet(dataDir, Number(values.gateways));
  await using cloud = await startPart('cloud', [
    ...['--data-dir', dataDir, '--tenants', `["${tenant}"]`, '--log-level', 'warn'],
    ...['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')],
    ...['--fleet-heartbeat-seconds', String(heartbeatSeconds)],
  ]);
  const ask = client(cloud.port('cloudHttp'));
  await storm(cloud, made, ask);
  await steady(cloud, made.fleet, ask);
}

/** Gateways as enrollment leaves them; they share a key, which costs the cloud the same as one each. */
async function makeFleet(dataDir: string, gateways: number): Promise<Made> {
  await using store = await openTenantStore({ directory: dataDir });
  await store.createTenant(tenant, { name: 'bench', address: '' });
  const db = await openFleetDatabase(store.context.db);
  const authority = await openAuthority(join(dataDir, 'authority'), Date.now(), createLogger('silent'));
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const key_sha256 = createHash('sha256').update(spki).digest('hex');
  const fleet: Gateway[] = [];
  const rows: GatewayRow[] = [];
  for (let index = 0; index < gateways; index++) {
    const [id, site] = [`gw-${index}`, `site-${index % 100}`];
    const pem = await authority.issue({
      ...{ commonName: id, uri: gatewayUri(tenant, site, id), nowMs: Date.now(), days: 90 },
      publicKey: new Uint8Array(spki).buffer,
    });
    fleet.push({ id, certificate: new X509Certificate(pem), token: '' });
    const row = { tenant, id, site, key_sha256, next_key_sha256: null, created_ms: Date.now() };
    const rest = { certificate_until_ms: Date.now() + 86_400_000, revoked_ms: null, group_name: '' };
    rows.push({ ...row, ...rest });
  }
  for (let from = 0; from < rows.length; from += 500)
    await db
      .insertInto('gateway')
      .values(rows.slice(from, from + 500))
      .execute();
  const [issuing] = authority.above;
  return { fleet, key: privateKey, issuing: new X509Certificate(issuing) };
}

interface Answer {
  readonly status: number;
  readonly retryAfterMs: number;
  readonly data: Readonly<Record<string, unknown>>;
}

type Ask = (path: string, body?: object, token?: string) => Promise<Answer>;

function client(port: number): Ask {
  const agent = new Agent({ keepAlive: true, maxSockets: connections });
  return async (path, body, token) => {
    const headers = {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    const sent = request({ agent, host: '127.0.0.1', port, path, method: body ? 'POST' : 'GET', headers });
    sent.on('error', () => undefined); // `once` throws it, if nothing has come yet
    sent.end(body && JSON.stringify(body));
    const answered = await once(sent, 'response').catch(() => undefined);
    // A connection that the server has closed just now, having heard nothing on it for a while.
    if (answered === undefined) return { status: 0, retryAfterMs: 0, data: {} };
    const [response] = answered as [IncomingMessage];
    const text = Buffer.concat(await Array.fromAsync(response as AsyncIterable<Buffer>)).toString();
    const { data = {} } = JSON.parse(text) as { data?: Record<string, unknown> };
    const retryAfterMs = Number(response.headers['retry-after'] ?? 0) * 1000;
    return { status: response.statusCode ?? 0, retryAfterMs, data };
  };
}

const report = {
  ...{ version: '0.1.0', uptimeSeconds: 1000, clock: 'trusted' as const, shippedUs: 1, committedUs: 1 },
  // As many as a gateway has.
  readings: Object.fromEntries(
    Array.from({ length: 55 }, (_, index) => [`some_reading_total_${index}`, index * 1000.5]),
  ),
};

/** Every gateway comes at the same moment, without a session, and again when it is told to. */
async function storm(cloud: Part, { fleet, key, issuing }: Made, ask: Ask): Promise<void> {
  const before = { cpu: cpuSeconds(cloud.pid), ms: performance.now() };
  let sheds = 0;
  const times: number[] = [];
  const insist = async (
    path: string,
    body?: () => Promise<object> | object,
    token?: string,
  ): Promise<Answer> => {
    for (;;) {
      const answer = await ask(path, await body?.(), token);
      if (answer.status === 200) return answer;
      if (answer.status === 0) continue;
      if (answer.status !== 503) throw new Error(`${path}: ${answer.status}`);
      sheds++;
      await delay(answer.retryAfterMs * (1 + Math.random()));
    }
  };
  await Promise.all(
    fleet.map(async (gateway) => {
      const signer = ecdsaSigner(key, [gateway.certificate, issuing]);
      const { data } = await insist(fleetPaths.challenge);
      const signed = await signJws({ typ: sessionType }, { challenge: data.challenge }, signer);
      gateway.token = String((await insist(fleetPaths.session, () => ({ signed }))).data.token);
      await insist(fleetPaths.heartbeat, () => ({ report }), gateway.token);
      times.push((performance.now() - before.ms) / 1000);
    }),
  );
  const cpu = cpuSeconds(cloud.pid) - before.cpu;
  times.sort((a, b) => a - b);
  print(`storm: ${fleet.length} gateways at once, ${connections} connections`, [
    ['back within', `${quantile(times, 0.5).toFixed(1)} s (half), ${quantile(times, 1).toFixed(1)} s (all)`],
    ['told to come again', `${sheds} times`],
    ['lost', String(fleet.length - times.length)],
    ['CPU of the cloud', `${cpu.toFixed(1)} s, ${((cpu * 1000) / fleet.length).toFixed(2)} ms a gateway`],
    ['peak memory', `${(peakMemoryBytes(cloud.pid) / 2 ** 20).toFixed(0)} MiB`],
  ]);
}

async function steady(cloud: Part, fleet: Gateway[], ask: Ask): Promise<void> {
  const before = cpuSeconds(cloud.pid);
  const startMs = performance.now();
  const times: number[] = [];
  let failed = 0;
  const beats: Promise<void>[] = [];
  const gapMs = (heartbeatSeconds * 1000) / fleet.length;
  const count = Math.floor((steadySeconds * 1000) / gapMs);
  for (let index = 0; index < count; index++) {
    const waitMs = startMs + index * gapMs - performance.now();
    if (waitMs > 1) await delay(waitMs);
    beats.push(
      (async () => {
        const sentMs = performance.now();
        const { status } = await ask(fleetPaths.heartbeat, { report }, fleet[index % fleet.length]?.token);
        if (status !== 200) failed++;
        times.push(performance.now() - sentMs);
      })(),
    );
  }
  await Promise.all(beats);
  const seconds = (performance.now() - startMs) / 1000;
  const cpu = cpuSeconds(cloud.pid) - before;
  times.sort((a, b) => a - b);
  print(`steady: ${fleet.length} gateways, each every ${heartbeatSeconds} s, for ${seconds.toFixed(0)} s`, [
    ['heartbeats a second', (times.length / seconds).toFixed(0)],
    [
      'answered after',
      `${quantile(times, 0.5).toFixed(1)} ms (half), ${quantile(times, 0.99).toFixed(1)} ms (p99)`,
    ],
    ['failed', String(failed)],
    [
      'CPU of the cloud',
      `${((cpu / seconds) * 100).toFixed(0)} % of a core, ${((cpu * 1000) / times.length).toFixed(2)} ms each`,
    ],
    ['peak memory', `${(peakMemoryBytes(cloud.pid) / 2 ** 20).toFixed(0)} MiB`],
  ]);
}

const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;

function print(title: string, rows: readonly (readonly [string, string])[]): void {
  process.stdout.write(
    `${title}\n${rows.map(([name, value]) => `  ${name.padEnd(22)}${value}\n`).join('')}\n`,
  );
}
