import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Batch, MetricsBatch } from '../../lake/model/batch.ts';
import { labelLimits } from '../../lake/receive/label-limits.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { findProgram } from '../../test/harness/programs.ts';
import { targetRoutes } from './routes.ts';
import { type ScraperOptions, startScraper } from './scraper.ts';

let stack = new AsyncDisposableStack();
afterEach(async () => {
  await stack.disposeAsync();
  stack = new AsyncDisposableStack();
});

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'firn-scraper-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  stack.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const exporter = (handle: RequestListener): Promise<string> => listen(createServer(handle));

interface Row {
  readonly labels: Record<string, string>;
  readonly timestampMs: number;
  readonly value: number;
  readonly stale: boolean;
}

async function scrape(config: string, folder: string, change: Partial<ScraperOptions> = {}) {
  const file = join(folder, 'prometheus.yml');
  writeFileSync(file, config);
  const rows: Row[] = [];
  const labels = new Map<bigint, Record<string, string>>();
  const append = async (...batches: readonly Batch[]): Promise<void> => {
    for (const batch of batches) if (batch.signal === 'metrics') rows.push(...rowsOf(batch, labels));
  };
  const dropped: [number, number][] = [];
  const scraper = await startScraper({
    ...{ configFile: file, append, cache: createSeriesCache({ identity: [] }), limits: labelLimits },
    ...{
      identityNames: new Set<string>(),
      clock: systemClock,
      ownTime: () => ({ trusted: true, floorUs: 0 }),
    },
    ...{ logger: createLogger('silent'), bodyBytesMax: 100_000, concurrentMax: 8, refreshMs: 20 },
    onDropped: (atMs, count) => dropped.push([atMs, count]),
    ...change,
  });
  const disposable = stack.use(scraper);
  const named = (name: string): Row[] => rows.filter((row) => row.labels.__name__ === name);
  const until = <T>(look: () => T | undefined | false): Promise<T> =>
    waitUntil(look, () => JSON.stringify(rows.slice(-10)));
  return { scraper: disposable, file, rows, named, until, dropped };
}

function rowsOf(batch: MetricsBatch, labels: Map<bigint, Record<string, string>>): Row[] {
  for (const entry of batch.series) labels.set(entry.id, JSON.parse(entry.labels));
  const bits = new BigUint64Array(batch.value.buffer, batch.value.byteOffset, batch.rows);
  return Array.from(batch.value, (value, index) => ({
    labels: labels.get(batch.seriesId[index] ?? 0n) ?? {},
    timestampMs: Number((batch.timestampUs[index] ?? 0n) / 1000n),
    value,
    stale: bits[index] === 0x7ff0000000000002n,
  }));
}

async function waitUntil<T>(look: () => T | undefined | false, state: () => string): Promise<T> {
  for (let tries = 0; tries < 1000; tries++) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await systemClock.sleep(10);
  }
  throw new Error(`it did not come to pass: ${state()}`);
}

const job = (address: string, rest = ''): string =>
  `scrape_configs: [{job_name: j, scrape_interval: 300ms, scrape_timeout: 300ms, static_configs: [{targets: ["${address}"]}]${rest && `, ${rest}`}}]`;

test('a target, its reports, and what it is asked', async () => {
  let asked: IncomingMessage | undefined;
  const address = await exporter((request, response) => {
    asked = request;
    response.setHeader('content-type', 'application/openmetrics-text; version=1.0.0; charset=utf-8');
    response.setHeader('content-encoding', 'gzip');
    response.end(gzipSync('a 1\nb 2\n# EOF\n'));
  });
  const { scraper, named, until } = await scrape(job(address), temporaryFolder());
  await until(() => named('a').length >= 3);
  expect(asked?.url).toBe('/metrics');
  expect(asked?.headers).toMatchObject({
    accept: expect.stringMatching(
      /^application\/openmetrics-text;version=1\.0\.0;q=0\.9,.*text\/plain;version=0\.0\.4/,
    ),
    'accept-encoding': 'gzip',
    'x-prometheus-scrape-timeout-seconds': '0.3',
  });
  const instance = { instance: address, job: 'j' };
  expect(named('a')[0]).toMatchObject({ labels: { __name__: 'a', ...instance }, value: 1 });
  const first = named('a')[0]?.timestampMs;
  const then = (name: string): Row | undefined =>
    named(name).find(({ timestampMs }) => timestampMs === first);
  expect(then('up')).toMatchObject({ labels: { __name__: 'up', ...instance }, value: 1 });
  expect(then('scrape_samples_scraped')?.value).toBe(2);
  expect(then('scrape_samples_post_metric_relabeling')?.value).toBe(2);
  expect(then('scrape_series_added')?.value).toBe(2);
  await until(() => named('scrape_series_added').some(({ value }) => value === 0));
  expect(named('scrape_duration_seconds')[0]?.value).toBeGreaterThan(0);
  const times = named('a').map(({ timestampMs }) => timestampMs);
  expect(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0))).toBe(true);
  const answer = (await (await targetRoutes(scraper).request('/api/v1/targets')).json()) as {
    data: { activeTargets: object[] };
  };
  expect(answer.data.activeTargets).toEqual([
    {
      ...{
        labels: instance,
        scrapePool: 'j',
        scrapeUrl: `http://${address}/metrics`,
        lastError: '',
        health: 'up',
      },
      ...{
        discoveredLabels: expect.objectContaining({ __address__: address }),
        globalUrl: expect.any(String),
      },
      ...{ lastScrape: expect.any(String), lastScrapeDuration: expect.any(Number) },
      ...{ scrapeInterval: '300ms', scrapeTimeout: '300ms' },
    },
  ]);
});

test.each<[string, RequestListener, string, string]>([
  ['an error', (_, response) => response.writeHead(503).end(), '', 'server returned HTTP status 503'],
  ['silence', () => undefined, '', 'no answer within the scrape timeout of 0.3 s'],
  [
    'silence in the middle',
    (_, response) => response.write('a 1\n'),
    '',
    'no answer within the scrape timeout',
  ],
  ['nonsense', (_, response) => response.end('<html>'), '', 'line 1, column 1: a series was expected'],
  ['no text', (_, response) => response.end(Buffer.from([0x61, 0x20, 0xff])), '', 'not UTF-8'],
  [
    'too much',
    (_, response) => response.end('#'.repeat(2000)),
    'body_size_limit: 1KB',
    'more than 1024 bytes (body_size_limit',
  ],
  [
    'a bomb',
    (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync('#'.repeat(1_000_000))),
    '',
    'more than 100000 bytes',
  ],
  [
    'a redirect that is not followed',
    (_, response) => response.writeHead(302, { location: '/x' }).end(),
    'follow_redirects: false',
    'HTTP status 302',
  ],
  [
    'redirects for ever',
    (_, response) => response.writeHead(302, { location: '/x' }).end(),
    '',
    'redirects more than 10 times',
  ],
  [
    'too many targets',
    (_, response) => response.end('a 1\n'),
    'target_limit: 1, file_sd_configs: [{files: [more.json]}]',
    'target_limit exceeded',
  ],
])('%s: up is 0, and the series end', async (_, failing, settings, message) => {
  let fails = false;
  const address = await exporter((request, response) => {
    if (fails) failing(request, response);
    else response.end('a 1\n');
  });
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'more.json'), '[]');
  const { scraper, named, until } = await scrape(job(address, settings), folder);
  await until(() => named('a').length > 0);
  fails = true;
  if (settings.includes('target_limit'))
    writeFileSync(join(folder, 'more.json'), '[{"targets": ["127.0.0.1:9"]}]');
  const end = await until(() => named('a').find(({ stale }) => stale));
  expect(named('up')).toContainEqual({
    ...{ labels: { __name__: 'up', instance: address, job: 'j' }, timestampMs: end.timestampMs },
    ...{ value: 0, stale: false },
  });
  const errors = await until(() => {
    const found = scraper.jobs().flatMap(({ loops }) => loops.map(({ status }) => status.lastError));
    return found[0] === '' ? undefined : found;
  });
  expect(errors[0]).toContain(message);
});

test('a target that refuses the connection', async () => {
  const { scraper, named, until } = await scrape(job('127.0.0.1:9'), temporaryFolder());
  await until(() => named('up').some(({ value }) => value === 0));
  await until(() => scraper.jobs()[0]?.loops[0]?.status.lastError.includes('ECONNREFUSED'));
});

test('credentials, parameters, and a redirect', async () => {
  const seen: (string | undefined)[][] = [];
  const address = await exporter((request, response) => {
    seen.push([request.url, request.headers.authorization]);
    if (request.url?.startsWith('/old')) response.writeHead(307, { location: '/new' }).end();
    else response.end('a 1\n');
  });
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'password'), 'secret\n');
  const { named, until } = await scrape(
    job(
      address,
      'metrics_path: /old, params: {x: ["1", "2"]}, basic_auth: {username: me, password_file: password}',
    ),
    folder,
  );
  await until(() => named('a').length > 0);
  const basic = `Basic ${Buffer.from('me:secret').toString('base64')}`;
  expect(seen.slice(0, 2)).toEqual([
    ['/old?x=1&x=2', basic],
    ['/new', basic],
  ]);
});

test('target files and the configuration are read again; what is gone ends, what stays goes on', async () => {
  const address = await exporter((_, response) => response.end('a 1\n'));
  const folder = temporaryFolder();
  const write = (text: string): void => writeFileSync(join(folder, 'targets.json'), text);
  const group = (rack: string): string => JSON.stringify([{ targets: [address], labels: { rack } }]);
  write(group('1'));
  const yaml =
    'scrape_configs: [{job_name: j, scrape_interval: 50ms, file_sd_configs: [{files: [targets.json]}]}]';
  const { scraper, file, named, until } = await scrape(yaml, folder);
  const of = (rack: string) => named('a').filter(({ labels }) => labels.rack === rack);
  await until(() => of('1').length > 0);
  const [before] = scraper.jobs()[0]?.loops ?? [];
  write(JSON.stringify([...JSON.parse(group('1')), ...JSON.parse(group('2'))]));
  await until(() => of('2').length > 0);
  expect(scraper.jobs()[0]?.loops[0]).toBe(before);
  write(group('2'));
  await until(() => of('1').some(({ stale }) => stale));
  expect(named('up').some(({ labels, stale }) => stale && labels.rack === '1')).toBe(true);
  writeFileSync(file, 'scrape_configs: [{job_nam: j}]');
  await until(() => scraper.problems().some((words) => words.includes('did you mean job_name?')));
  expect(scraper.jobs()).toHaveLength(1);
  writeFileSync(file, yaml.replace('job_name: j', 'job_name: k'));
  await until(() => named('a').some(({ labels }) => labels.job === 'k'));
  expect(scraper.problems()).toEqual([]);
  expect(of('2').some(({ stale, labels }) => stale && labels.job === 'j')).toBe(true);
});

test('a gateway that stops marks nothing: the target goes on', async () => {
  const address = await exporter((_, response) => response.end('a 1\n'));
  const { scraper, rows, named, until } = await scrape(job(address), temporaryFolder());
  await until(() => named('a').length > 0);
  await scraper[Symbol.asyncDispose]();
  expect(rows.some(({ stale }) => stale)).toBe(false);
});

test('while the log has no room the samples wait until the next scrape is due, then they are counted as lost', async () => {
  const address = await exporter((_, response) => response.end('a 1\n'));
  const append = async (): Promise<void> => {
    throw new FirnError({ code: 'unavailable', operation: 'append', subject: 'log', message: 'no room' });
  };
  const { scraper, dropped, until } = await scrape(job(address), temporaryFolder(), { append });
  await until(() => dropped.length > 0);
  expect(dropped[0]?.[1]).toBe(6);
  await until(() => scraper.jobs()[0]?.loops[0]?.status.lastError === 'its samples are not stored: no room');
});

test.skipIf(!findProgram('openssl'))(
  'TLS with certificates on both sides (skipped without openssl)',
  async () => {
    const folder = temporaryFolder();
    for (const name of ['server', 'client'])
      execFileSync(
        'openssl',
        [
          ...[
            'req',
            '-x509',
            '-newkey',
            'ec',
            '-pkeyopt',
            'ec_paramgen_curve:prime256v1',
            '-nodes',
            '-days',
            '1',
          ],
          ...['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}.test`],
          ...['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)],
        ],
        { stdio: 'ignore' },
      );
    const read = (name: string): Buffer => readFileSync(join(folder, name));
    const options = { key: read('server.key'), cert: read('server.crt'), ca: read('client.crt') };
    const server = createTlsServer(
      { ...options, requestCert: true, rejectUnauthorized: true },
      (_, response) => response.end('a 1\n'),
    );
    const address = await listen(server);
    const client = 'cert_file: client.crt, key_file: client.key';
    const good = await scrape(
      job(address, `scheme: https, tls_config: {ca_file: server.crt, server_name: server.test, ${client}}`),
      folder,
    );
    await good.until(() => good.named('a').length > 0);
    await good.scraper[Symbol.asyncDispose]();
    const strange = await scrape(job(address, `scheme: https, tls_config: {${client}}`), folder);
    await strange.until(() =>
      /self.signed/.test(strange.scraper.jobs()[0]?.loops[0]?.status.lastError ?? ''),
    );
    await strange.scraper[Symbol.asyncDispose]();
    const careless = await scrape(
      job(address, `scheme: https, tls_config: {insecure_skip_verify: true, ${client}}`),
      folder,
    );
    await careless.until(() => careless.named('a').length > 0);
  },
);
