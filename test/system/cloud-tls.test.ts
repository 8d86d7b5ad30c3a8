import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { connect as connectPlain } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Authority, createAuthority } from '../harness/certificates.ts';
import { type Part, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { outerAddress } from '../harness/process.ts';
import { tlsVersions } from '../harness/tls-versions.ts';

// The cloud's own TLS: HTTP, OTLP over gRPC and SQL.

let authority: Authority;
let cloud: Part;
let ca: Buffer;
const folder = temporaryFolder();

beforeAll(async () => {
  authority = createAuthority();
  ca = readFileSync(authority.caFile);
  const { certFile, keyFile } = authority.sign('cloud', 'cloud');
  cloud = await startPart('cloud', [
    ...['--data-dir', join(folder.path, 'cloud'), '--store-path', join(folder.path, 'lake')],
    ...['--http-port', '0', '--pgwire-port', '0', '--direct-grpc-port', '0'],
    ...['--listen-host', '0.0.0.0', '--listen-open', 'true'],
    ...['--tls-cert-file', certFile, '--tls-key-file', keyFile],
    ...['--pgwire-cert-file', certFile, '--pgwire-key-file', keyFile],
  ]);
});
afterAll(async () => {
  await cloud?.[Symbol.asyncDispose]();
  authority?.[Symbol.dispose]();
  folder[Symbol.dispose]();
});

test('a key works over TLS, and in plain from this machine alone', async () => {
  const { id, secret } = readKey(String(cloud.ready.keyFile));
  const port = cloud.port('cloudHttp');
  const options = { ca, auth: `${id}:${secret}`, agent: false };
  const [answer] = await once(get(`https://127.0.0.1:${port}/api/v1/labels`, options), 'response');
  expect([answer.statusCode, JSON.parse(await text(answer)).status]).toEqual([200, 'success']);
  // This machine's own proxy may come in plain.
  expect((await fetch(`http://127.0.0.1:${port}/api/v1/labels`)).status).toBe(401);
});

const address = outerAddress();

test.skipIf(address === undefined)('from another machine a plain connection is closed', async () => {
  const socket = connectPlain(cloud.port('cloudHttp'), address);
  socket.end('GET /api/v1/labels HTTP/1.1\r\nHost: cloud\r\nConnection: close\r\n\r\n');
  expect(await text(socket)).toBe('');
});

test.for([
  ['cloudHttp', ['http/1.1']],
  ['cloudGrpc', ['h2']],
  ['cloudPg', ['postgresql']],
] as const)('%s takes no TLS 1.0 or 1.1', async ([name, protocols]) => {
  expect(await tlsVersions(cloud.port(name), ca, protocols)).toEqual(['TLSv1.2', 'TLSv1.3']);
});
