import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, type Part, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { doors } from './doors.ts';

// What is too large, what tries to leave its folder, and what asks whether somebody is there.

const folder = temporaryFolder();
type Key = ReturnType<typeof readKey>;
let cloud: Part;
let url: string;
let owner: Key;
let operator: Key;

beforeAll(async () => {
  cloud = await startPart('cloud', [
    ...['--data-dir', join(folder.path, 'cloud'), '--login-failures-per-name-max', '0'],
    ...['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')],
    ...['--http-body-bytes-max', '100000', '--direct-body-bytes-max', '100000'],
    ...['--http-trusted-proxies', '["127.0.0.1"]', '--login-failures-per-address-max', '5'],
  ]);
  url = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
  owner = readKey(join(folder.path, 'cloud', 'keys', 'demo.key'));
  operator = readKey(join(folder.path, 'cloud', 'keys', '_operator.key'));
});
afterAll(async () => {
  await cloud?.stop();
  folder[Symbol.dispose]();
});

/** What a sender may have sent when it hears that it is too much: the limits, and what the sockets hold. */
const takenBytesMax = 16 * 1024 * 1024;
const piece = Buffer.alloc(64 * 1024, ' ');

/** Sends without an end and without a length, until there is an answer. */
async function flood(
  endpoint: string,
  key: Key,
): Promise<{ status: number; text: string; sentBytes: number }> {
  const [method = '', path = ''] = endpoint.split(' ');
  const filled = path.replace(/:(tenant|prefix|namespace)/g, 'demo').replaceAll(/:\w+/g, 'x');
  const authorization = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  const sending = request(`${url}${filled}`, {
    method,
    headers: { authorization, 'content-type': typeOf(path) },
  });
  let sentBytes = 0;
  let answered = false;
  const answer = (once(sending, 'response') as Promise<[IncomingMessage]>).then(async ([response]) => {
    answered = true;
    const text = Buffer.concat(await Array.fromAsync(response).catch(() => [])).toString();
    return { status: response.statusCode ?? 0, text };
  });
  while (!answered && sentBytes < takenBytesMax) {
    sentBytes += piece.length;
    if (!sending.write(piece)) await Promise.race([drained(sending), answer]);
    // Time to hear the answer, once the limit must have been met.
    if (sentBytes > 512 * 1024) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { status, text } = await answer;
  sending.destroy();
  return { status, text, sentBytes };
}

const drained = (sending: ClientRequest): Promise<unknown> => once(sending, 'drain').catch(() => undefined);

const typeOf = (path: string): string => {
  if (path === '/api/v1/write' || path === '/v1/traces' || path.endsWith('/v1/metrics'))
    return 'application/x-protobuf';
  if (path.startsWith('/api/v1/firn') || path.includes('/push') || path.includes('/v1/logs'))
    return 'application/json';
  return 'application/x-www-form-urlencoded';
};

/** They look at no body. */
const bodiless = ['PUT /api/v1/firn/tables/:table/tags/:name', 'POST /query'];
/** 256 MiB of CSV, which goes to disk as it comes (csvBytesMax). */
const onDisk = ['PUT /api/v1/firn/tables/:name', 'POST /api/v1/firn/tables/:name'];
const taking = [...doors].filter(([endpoint, door]) => /^(POST|PUT) /.test(endpoint) && door !== 'gateway');

test('a body that is too large is refused with the name of its limit at every door, and not read on', async () => {
  const wrong: unknown[] = [];
  for (const [endpoint, door] of taking) {
    if (bodiless.includes(endpoint) || onDisk.includes(endpoint)) continue;
    const { status, text, sentBytes } = await flood(endpoint, door === 'operator' ? operator : owner);
    if (status !== 413 || !/BytesMax/.test(text) || sentBytes >= takenBytesMax)
      wrong.push([endpoint, status, text.slice(0, 100), sentBytes]);
  }
  expect(wrong).toEqual([]);
  expect(taking.length).toBeGreaterThan(50);
});

const names = [
  ...['../x', '..', 'a/b', '/etc/passwd', '%2e%2e', '..%2f', 'a\\b', 'a b', 'a.b', 'A', 'ä', 'dеmo'],
  ...['demo\0', '\0', 'x'.repeat(300), '-a', 'a-', '', ' demo', 'demo\n', '_operator', 'con:', "a'--"],
];

test('names that are no names are refused wherever one can be given', async () => {
  const send = async (key: Key, path: string, body: object): Promise<[number, string]> => {
    const answer = await call(`${url}/api/v1/firn/admin${path}`, key, {
      method: 'POST',
      body: JSON.stringify(body),
    });
    return [answer.status, await answer.text()];
  };
  for (const name of names) {
    const tries = {
      tenant: await send(operator, '/tenants', { id: name }),
      site: await send(owner, '/tenants/demo/claims', { site: name }),
      gateway: await send(owner, '/tenants/demo/claims', { site: 'north', gateway: name }),
      'site of a key': await send(owner, '/tenants/demo/keys', { restriction: { sites: [name] } }),
    };
    for (const [what, [status, text]] of Object.entries(tries))
      expect([what, name, status, text]).toEqual([
        what,
        name,
        400,
        expect.stringMatching(/is not valid|no site id/),
      ]);
    if (/^[\x21-\x7e]+$/.test(name)) {
      const sent = await call(`${url}/api/v2/write?bucket=b`, owner, {
        ...{ method: 'POST', body: 'm value=1', headers: { 'x-firn-site': name } },
      });
      expect([name, sent.status]).toEqual([name, 400]);
    }
  }
  // Those of the cloud's own virtual gateways.
  const [status, text] = await send(owner, '/tenants/demo/claims', {
    ...{ site: 'north', gateway: 'cloud-0123456789abcdef' },
  });
  expect([status, text]).toEqual([400, expect.stringContaining('the cloud keeps for itself')]);
});

test('paths that climb lead nowhere', async () => {
  for (const path of ['..%2f..%2ftenants.db', '%2e%2e/%2e%2e/etc/passwd', 'x%00', `${'x'.repeat(300)}`])
    for (const base of ['tables', 'tables/metrics/tags', 'admin/tenants'])
      for (const key of [owner, operator]) {
        const answer = await raw(`/api/v1/firn/${base}/${path}`, 'DELETE', key);
        expect([base, path, answer.status]).toEqual([
          base,
          path,
          expect.toSatisfy((code) => code >= 400 && code < 500),
        ]);
      }
});

/** As it is, without what a client makes of dots. */
async function raw(path: string, method: string, key: Key): Promise<{ status: number }> {
  const authorization = `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}`;
  const { hostname, port } = new URL(url);
  const sending = request({ hostname, port, path, method, headers: { authorization } });
  sending.end();
  const [answer] = (await once(sending, 'response')) as [IncomingMessage];
  answer.resume();
  return { status: answer.statusCode ?? 0 };
}

test('nothing tells whether a key or a tenant is there', async () => {
  const answers = async (key: Key, init?: RequestInit) =>
    Promise.all(
      ['/api/v1/labels', '/api/v1/firn/admin/tenants/demo/keys', '/iceberg/v1/config?warehouse=demo'].map(
        async (path) => {
          const answer = await call(`${url}${path}`, key, init);
          return [path, answer.status, await answer.text(), [...answer.headers.keys()].toSorted()];
        },
      ),
    );
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });
  const wrongSecret = await answers({ id: owner.id, secret: 'wrong' }, from('192.0.2.1'));
  const unknown = await answers({ id: 'demo-00000000', secret: 'wrong' }, from('192.0.2.2'));
  const ofNobody = await answers({ id: 'nobody-00000000', secret: owner.secret }, from('192.0.2.3'));
  expect(unknown).toEqual(wrongSecret);
  expect(ofNobody).toEqual(wrongSecret);
  expect(wrongSecret.map(([, status]) => status)).toEqual([401, 401, 401]);
  // A tenant of others, and one that is not there, for who manages another.
  const asked = async (tenant: string) => {
    const answer = await call(`${url}/api/v1/firn/admin/tenants/${tenant}/keys`, other);
    return [answer.status, await answer.text()];
  };
  await call(`${url}/api/v1/firn/admin/tenants`, operator, { method: 'POST', body: '{"id":"other"}' });
  const made = await call(`${url}/api/v1/firn/admin/tenants/other/keys`, operator, {
    ...{ method: 'POST', body: '{"scopes":["read","admin"]}' },
  });
  const { data: other } = (await made.json()) as { data: Key };
  expect(await asked('demo')).toEqual(await asked('nobody'));
});

test('clients behind a trusted proxy are counted apart', async () => {
  const statusFrom = async (address: string, secret: string): Promise<number> => {
    const init = { headers: { 'x-forwarded-for': address } };
    return (await call(`${url}/api/v1/labels`, { id: `demo-${secret}`, secret }, init)).status;
  };
  const guessed: number[] = [];
  for (let time = 0; time < 6; time++) guessed.push(await statusFrom('203.0.113.1', `guess${time}`));
  expect(guessed).toEqual([401, 401, 401, 401, 401, 429]);
  // What the guesser writes before the proxy's own entry does not help it, and others are not kept out.
  expect(await statusFrom('198.51.100.9, 203.0.113.1', 'more')).toBe(429);
  expect(await statusFrom('203.0.113.2', 'other')).toBe(401);
});
