import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createTokenBucket } from '../../lake/base/token-bucket.ts';
import { download } from './download.ts';
import { fetchBundle } from './fetch-bundle.ts';
import { placesUnder } from './places.ts';

// Against a server that cuts connections.

const content = randomBytes(300_000);
const folder = mkdtempSync(join(tmpdir(), 'firn-download-'));
const path = join(folder, 'bundle');
/** Where the bytes of each answer began. */
let starts: number[] = [];
/** Bytes after which the connection of the next answer is cut; undefined: it is not. */
let cutAfter: number | undefined;
let ranges = true;

const server = createServer((request: IncomingMessage, response: ServerResponse) => {
  const asked = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  const start = ranges ? asked : 0;
  if (request.url === '/missing') return void response.writeHead(404).end();
  if (start >= content.length) return void response.writeHead(416).end();
  starts.push(start);
  response.writeHead(start > 0 ? 206 : 200, { 'content-length': content.length - start });
  if (cutAfter === undefined) return void response.end(content.subarray(start));
  response.write(content.subarray(start, start + cutAfter));
  cutAfter = undefined;
  // What is still in the buffers of a broken connection is lost.
  const watch = setInterval(() => {
    if (keptBytes() > 0) response.destroy();
  }, 10);
  response.once('close', () => clearInterval(watch));
});
/** Of a file that is not whole, whatever its name. */
function keptBytes(): number {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.part'),
  );
  return names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}
const url = (name: string): string => `http://127.0.0.1:${(server.address() as AddressInfo).port}/${name}`;
const fetchIt = (name = 'bundle', bytesMax = 1_000_000): Promise<void> =>
  download({ url: url(name), path, bucket: createTokenBucket(systemClock, {}), bytesMax });

beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  for (const each of [path, `${path}.part`]) rmSync(each, { force: true });
  [starts, cutAfter, ranges] = [[], undefined, true];
});

test('a download that was cut off goes on where it ended', async () => {
  cutAfter = 100_000;
  await expect(fetchIt()).rejects.toMatchObject({ code: 'unavailable' });
  expect(existsSync(path)).toBe(false);
  const kept = keptBytes();
  await fetchIt();
  expect(starts).toEqual([0, kept]);
  expect(readFileSync(path).equals(content)).toBe(true);
});

test('a server that can only begin at the beginning is taken from there', async () => {
  cutAfter = 100_000;
  ranges = false;
  await expect(fetchIt()).rejects.toMatchObject({ code: 'unavailable' });
  await fetchIt();
  expect(starts).toEqual([0, 0]);
  expect(readFileSync(path).equals(content)).toBe(true);
});

test.each([
  ['a file that is not there', 'missing', 1_000_000, { code: 'not-found' }],
  ['a file larger than a slot', 'bundle', 200_000, { code: 'limit' }],
])('%s is refused, and is not tried again', async (_, name, bytesMax, error) => {
  await expect(fetchIt(name, bytesMax)).rejects.toMatchObject(error);
  expect(existsSync(path)).toBe(false);
});

test('a server that is away may be there later', async () => {
  const nobody = {
    url: 'http://127.0.0.1:1/',
    path,
    bucket: createTokenBucket(systemClock, {}),
    bytesMax: 1,
  };
  await expect(download(nobody)).rejects.toMatchObject({ code: 'unavailable' });
});

test('the rest of one bundle is never put behind another', async () => {
  const places = { ...placesUnder(folder), updates: mkdtempSync(join(folder, 'updates-')) };
  cutAfter = 100_000;
  await expect(fetchBundle(url('one'), places, 0)).rejects.toMatchObject({ code: 'unavailable' });
  expect(readFileSync(await fetchBundle(url('two'), places, 0)).equals(content)).toBe(true);
  expect(starts).toEqual([0, 0]);
});
