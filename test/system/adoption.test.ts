import type { ChildProcess } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseSiteFile } from '../../provisioning/site-file.ts';
import { call, type Part, promql, readKey, run, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, waitFor } from '../harness/process.ts';

// A device that knows the cloud's address alone, from its first start to its first value, by the real processes and the
// commands that a person uses. Cloud and gateway are killed when the cloud has answered and before the gateway has it.

const folder = temporaryFolder();
const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
const program = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
const port = await freePort();
const url = `http://127.0.0.1:${port}`;
const httpPort = await freePort();
const page = `http://127.0.0.1:${httpPort}`;
let cloud: Part | undefined;
let gateway: ChildProcess | undefined;

afterAll(async () => {
  gateway?.kill('SIGKILL');
  await cloud?.kill();
  folder[Symbol.dispose]();
});

const startCloud = (): Promise<Part> =>
  startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store, '--http-port', `${port}`]);

/** Resolves when it is a gateway. */
const startGateway = (cloudUrl: string): Promise<Part> =>
  startPart(
    'gateway',
    [
      ...['--data-dir', join(folder.path, 'gateway'), ...store, '--http-port', `${httpPort}`],
      ...['--cloud-url', cloudUrl, '--gateway', 'gw-0123456789ab', '--seal-interval-ms', '300'],
    ],
    {
      onStart: (child) => {
        gateway = child;
      },
    },
  );

async function firn(...argv: string[]): Promise<string> {
  const { id, secret } = readKey(join(folder.path, 'cloud', 'keys', 'demo.key'));
  const env = { FIRN_URL: url, FIRN_KEY: `${id}:${secret}` };
  const { code, stdout, stderr } = await run(process.execPath, [program, ...argv, '--tenant', 'demo'], env);
  if (code !== 0) throw new Error(stderr);
  return stdout;
}

/** What the device says of itself, when it matches. */
const pageWith = (what: RegExp): Promise<string> =>
  waitFor(`${what} on the page`, 120_000, async () => {
    const text = await (await fetch(page)).text();
    return what.test(text) ? text : undefined;
  });

/** Stands between them; the first answer that makes the device a gateway ends both of them, and is lost. */
async function startRelay() {
  let lost = 0;
  const relay = createServer((request, response) => {
    void (async () => {
      const { method = '', headers } = request;
      const body = method === 'POST' ? await new Response(request as unknown as ReadableStream).text() : null;
      const sent = { 'content-type': 'application/json', authorization: headers.authorization ?? '' };
      const answer = await fetch(new URL(request.url ?? '', url), { method, body, headers: sent });
      const text = await answer.text();
      if (lost === 0 && text.includes('"enrolled"')) {
        lost++;
        gateway?.kill('SIGKILL');
        await cloud?.kill();
        return void response.destroy();
      }
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve));
  const stop = (): void => {
    relay.closeAllConnections();
    relay.close();
  };
  return {
    url: `http://127.0.0.1:${(relay.address() as AddressInfo).port}`,
    lost: () => lost,
    [Symbol.dispose]: stop,
  };
}

test('a device is switched on, adopted by its code, killed with its cloud in the middle of it, and sends a value', async () => {
  using relay = await startRelay();
  // Long before there is a cloud.
  const first = startGateway(relay.url).catch(() => undefined);
  const waiting = await pageWith(/does not answer|was not asked yet/);
  const [code = ''] = /([0-9A-Z]{4}-){3}[0-9A-Z]{4}/.exec(waiting) ?? [];
  expect(waiting).toContain(`firn gateways adopt ${code} --tenant TENANT --site SITE`);
  expect(waiting).toContain(`${relay.url}/adopt#${code}`);
  expect(waiting).toMatch(/<svg /);
  expect((await fetch(`${page}/health`)).status).toBe(200);
  const refused = await fetch(`${page}/loki/api/v1/push`, { method: 'POST', body: '{}' });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '30']);
  cloud = await startCloud();
  await pageWith(/waits for its adoption/);
  expect(await firn('gateways', 'pending', '--code', code)).toMatch(`${code}  not adopted`);
  const adopted = await firn('gateways', 'adopt', code, '--site', 'plant-7', '--gateway', 'press');
  expect(adopted).toContain(`${code} is adopted; the device asked from 127.0.0.1`);
  await waitFor('the lost answer', 120_000, async () => (relay.lost() === 1 ? true : undefined));
  expect(await first).toBeUndefined();
  const again = startGateway(relay.url);
  expect(await pageWith(/belongs to nobody yet/)).toContain(code);
  cloud = await startCloud();
  const part = await again;
  expect(await pageWith(/site plant-7/)).toMatch(
    /<h1>press<\/h1>\s*<p>Firn .* tenant demo · site plant-7<\/p>/,
  );
  const sent = await fetch(`${page}/api/v2/write?bucket=b`, {
    method: 'POST',
    body: `heat value=21.5 ${Date.now()}000000`,
  });
  expect(sent.status).toBe(204);
  const key = readKey(join(folder.path, 'cloud', 'keys', 'demo.key'));
  const value = await waitFor('the value in the cloud', 120_000, async () => {
    const [found] = (await promql(url, 'heat', key)).data.result;
    return found && { ...found.metric, value: found.value[1] };
  });
  expect(value).toMatchObject({ site: 'plant-7', gateway: 'press', value: '21.5' });
  expect(await firn('gateways', 'list')).toMatch(/press +plant-7/);
  await part.stop();
}, 600_000);

test('what the cloud gives for an image is taken by a device; the page for a phone knows nothing', async () => {
  const site = parseSiteFile(await firn('gateways', 'site-file'));
  expect(site).toMatchObject({ tenant: 'demo', settings: { cloud: { url, pin: expect.any(String) } } });
  const answer = await call(`${url}/adopt`);
  expect(answer.headers.get('content-security-policy')).toMatch(/default-src 'none'; script-src 'sha256-/);
  expect(await answer.text()).not.toMatch(/demo|press|plant-7/);
});
