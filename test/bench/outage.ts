import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connectAsync } from 'mqtt';
import { s3Missing } from '../contract/s3-server.ts';
import { type FaultProxy, startFaultProxy } from '../harness/fault-proxy.ts';
import { call, type Part } from '../harness/firn.ts';
import { freePort, peakMemoryBytes, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { openS3Site, type S3Site } from '../harness/s3-site.ts';
import { writeSamples } from '../harness/write-samples.ts';
import { readFlags } from './flags.ts';
import { remoteWriteBodies, runRemoteWriteLoad } from './remote-write-load.ts';

// A day without the store, then the way to it is back: how soon is the newest data there, how fast does the rest follow,
// and what does that take. Beside vmagent, which sends oldest first, over the same link to its own server. The day is fed
// as fast as each takes it, with the timestamps of a day.

const samplesPerSecond = 1000;
const logLinesPerSecond = 100;
const MEBIBYTE = 1024 * 1024;

interface CatchUp {
  readonly name: string;
  readonly newestSeconds: number;
  readonly seconds: number;
  readonly rows: number;
  readonly sentBytes: number;
  readonly requests: number;
  readonly peakBytes: number;
}

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    hours: { type: 'string', default: '24', about: 'without the store' },
    'bytes-per-second': {
      type: 'string',
      default: '2000000',
      about: 'of the link in its slow run; 0 leaves that out',
    },
  });
  if (s3Missing) throw new Error(`this benchmark needs an S3 server: ${s3Missing}`);
  const hours = Number(values.hours);
  const slow = Number(values['bytes-per-second']);
  const folder = mkdtempSync(join(tmpdir(), 'firn-outage-'));
  try {
    for (const bytesPerSecond of slow > 0 ? [0, slow] : [0]) {
      const results = [
        await firn(folder, hours, bytesPerSecond),
        await vmagent(folder, hours, bytesPerSecond),
      ];
      print(
        hours,
        bytesPerSecond,
        results.flatMap((each) => each ?? []),
      );
    }
    await requestsPerDay(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function firn(folder: string, hours: number, bytesPerSecond: number): Promise<CatchUp> {
  await using stack = new AsyncDisposableStack();
  const site = stack.use(await openS3Site(join(folder, `firn-${bytesPerSecond}`)));
  const { proxy } = site;
  await proxy.setLine({ refuse: true });
  await feedSamples(`http://127.0.0.1:${site.gateway.port('gatewayHttp')}/api/v1/write`, hours);
  await feedLogs(site.gateway, hours);
  await waitFor('everything to be sealed', 600_000, async () => {
    const { sealer } = await statusOf(site.gateway);
    return sealer.rows >= hours * 3600 * (samplesPerSecond + logLinesPerSecond) ? true : undefined;
  });
  // A day's rows in a few minutes leave a process large that a day's rows in a day do not.
  await site.restartGateway();
  const { gateway } = site;
  await delay(10_000);
  resetPeakMemory(gateway.pid);
  proxy.forget();
  const before = proxy.bytes.up;
  await proxy.setLine(line(bytesPerSecond));
  const start = performance.now();
  await writeSamples(`http://127.0.0.1:${gateway.port('gatewayHttp')}`, 'newest_sample', [[Date.now(), 1]]);
  const newest = await firstAnswer(
    async () => (await sqlNumber(site, `SELECT count(*) FROM metrics WHERE __name__ = 'newest_sample'`)) > 0,
  );
  const rows = hours * 3600 * samplesPerSecond;
  const all = await firstAnswer(
    async () =>
      (await sqlNumber(site, `SELECT count(*) FROM metrics WHERE __name__ LIKE 'machine_metric%'`)) >= rows &&
      (await sqlNumber(site, 'SELECT count(*) FROM logs')) >= hours * 3600 * logLinesPerSecond,
    500,
  );
  return {
    name: 'Firn gateway (with its log lines)',
    newestSeconds: (newest - start) / 1000,
    seconds: (all - start) / 1000,
    rows: rows + hours * 3600 * logLinesPerSecond,
    sentBytes: proxy.bytes.up - before,
    requests: proxy.count(),
    peakBytes: peakMemoryBytes(gateway.pid),
  };
}

async function vmagent(folder: string, hours: number, bytesPerSecond: number): Promise<CatchUp | undefined> {
  const [agentProgram, server] = [findProgram('vmagent'), findProgram('victoria-metrics')];
  if (!agentProgram || !server) {
    console.log('vmagent is not installed (test/setup): measured without it');
    return undefined;
  }
  await using stack = new AsyncDisposableStack();
  const [serverPort, agentPort] = [await freePort(), await freePort()];
  const data = join(folder, `vmagent-${bytesPerSecond}`);
  stack.use(
    startProgram(server, [
      ...[`-storageDataPath=${join(data, 'server')}`, `-httpListenAddr=127.0.0.1:${serverPort}`],
      ...['-retentionPeriod=10y', '-search.latencyOffset=0s', '-search.maxPointsPerTimeseries=200000'],
    ]),
  );
  const proxy = stack.use(await startFaultProxy({ targetPort: serverPort }));
  await proxy.setLine({ refuse: true });
  const agent = stack.use(
    startProgram(agentProgram, [
      ...[`-remoteWrite.url=${proxy.url}/api/v1/write`, `-remoteWrite.tmpDataPath=${join(data, 'agent')}`],
      `-httpListenAddr=127.0.0.1:${agentPort}`,
    ]),
  );
  const base = `http://127.0.0.1:${agentPort}`;
  await waitFor('vmagent', 20_000, async () => ((await fetch(`${base}/health`)).ok ? true : undefined));
  await feedSamples(`${base}/api/v1/write`, hours);
  resetPeakMemory(agent.pid);
  proxy.forget();
  const before = proxy.bytes.up;
  await proxy.setLine(line(bytesPerSecond));
  const start = performance.now();
  const ask = async (query: string): Promise<number> => {
    const url = `http://127.0.0.1:${serverPort}/api/v1/query?query=${encodeURIComponent(query)}&nocache=1`;
    const answer = (await (await fetch(url)).json()) as { data: { result: { value: [number, string] }[] } };
    return Number(answer.data.result[0]?.value[1] ?? 0);
  };
  // One sample after the outage: those before it are already in the queue.
  await writeSamples(base, 'newest_sample', [[Date.now(), 1]]);
  const newest = await firstAnswer(async () => (await ask('newest_sample')) > 0);
  const rows = hours * 3600 * samplesPerSecond;
  const all = await firstAnswer(
    async () => (await ask(`sum(count_over_time({__name__=~"machine_metric.*"}[${hours + 1}h]))`)) >= rows,
    500,
  );
  return {
    name: 'vmagent',
    newestSeconds: (newest - start) / 1000,
    seconds: (all - start) / 1000,
    rows,
    sentBytes: proxy.bytes.up - before,
    requests: proxy.count(),
    peakBytes: peakMemoryBytes(agent.pid),
  };
}

const line = (bytesPerSecond: number): Parameters<FaultProxy['setLine']>[0] =>
  bytesPerSecond > 0 ? { bytesPerSecond } : {};

/** When `probe` is first true. */
async function firstAnswer(probe: () => Promise<boolean>, everyMs = 50): Promise<number> {
  const deadline = performance.now() + 3_600_000;
  while (performance.now() < deadline) {
    if (await probe().catch(() => false)) return performance.now();
    await delay(everyMs);
  }
  throw new Error('not within an hour');
}

async function statusOf(gateway: Part) {
  const answer = await fetch(`http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v1/firn/status`);
  return (await answer.json()) as { sealer: { rows: number }; shipper: { backlog: { bytes: number } } };
}

async function sqlNumber({ cloud, key }: S3Site, sql: string): Promise<number> {
  const answer = await call(`http://127.0.0.1:${cloud.port('cloudHttp')}/api/v1/firn/sql`, key, {
    method: 'POST',
    body: sql,
  });
  const { rows } = (await answer.json()) as { rows?: [number | string][] };
  return Number(rows?.[0]?.[0] ?? 0);
}

/** A thousand series, one sample of each a second, until now. */
async function feedSamples(url: string, hours: number): Promise<void> {
  const startMs = Date.now() - hours * 3_600_000;
  const perChunk = 600;
  const start = performance.now();
  for (let second = 0; second < hours * 3600; second += perChunk) {
    const bodies = remoteWriteBodies({
      ...{ series: samplesPerSecond, seriesPerRequest: samplesPerSecond, stepMs: 1000 },
      samplesPerSeries: Math.min(perChunk, hours * 3600 - second),
      startMs: startMs + second * 1000,
    });
    await runRemoteWriteLoad(url, bodies, 2);
  }
  const seconds = (performance.now() - start) / 1000;
  console.log(`fed ${hours} h of samples in ${seconds.toFixed(0)} s`);
}

/** A message holds the lines of a second. */
async function feedLogs(gateway: Part, hours: number): Promise<void> {
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  const startMs = Date.now() - hours * 3_600_000;
  const inFlight = new Set<Promise<unknown>>();
  for (let second = 0; second < hours * 3600; second++) {
    const lines = Array.from({ length: logLinesPerSecond }, (_, index) => ({
      message: `pump ${index % 7} reported state ${(second * 31 + index) % 97} of cycle ${second}`,
      ts: startMs + second * 1000 + index,
    }));
    const sent = client.publishAsync('plant/line1/events', JSON.stringify(lines), { qos: 1 });
    inFlight.add(sent);
    void sent.then(() => inFlight.delete(sent));
    if (inFlight.size >= 50) await Promise.race(inFlight);
  }
  await Promise.all(inFlight);
  await client.endAsync();
}

/** From now on. */
function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function print(hours: number, bytesPerSecond: number, results: readonly CatchUp[]): void {
  const link = bytesPerSecond > 0 ? `${(bytesPerSecond / 1e6).toFixed(1)} MB/s` : 'as fast as it goes';
  console.log(`\nAfter ${hours} h without the store; link: ${link}`);
  const head = ['newest s', 'all s', 'rows/s', 'MB/s', 'MB sent', 'requests', 'peak MiB'];
  console.log(`  ${'subject'.padEnd(36)}${head.map((name) => name.padStart(11)).join('')}`);
  for (const each of results) {
    const cells = [
      each.newestSeconds.toFixed(1),
      each.seconds.toFixed(1),
      (each.rows / each.seconds).toFixed(0),
      (each.sentBytes / 1e6 / each.seconds).toFixed(2),
      (each.sentBytes / 1e6).toFixed(1),
      each.requests.toFixed(0),
      (each.peakBytes / MEBIBYTE).toFixed(0),
    ];
    console.log(`  ${each.name.padEnd(36)}${cells.map((cell) => cell.padStart(11)).join('')}`);
  }
}

const measuredSeconds = 60;

/** What a connected gateway asks of its store, with default settings, at the same load as above. */
async function requestsPerDay(folder: string): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const { proxy, gateway } = stack.use(await openS3Site(join(folder, 'requests')));
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  const feed = async (seconds: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      const startMs = Date.now();
      const url = `http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v1/write`;
      const shape = { series: samplesPerSecond, samplesPerSeries: 1, seriesPerRequest: samplesPerSecond };
      await runRemoteWriteLoad(url, remoteWriteBodies({ ...shape, startMs, stepMs: 1000 }), 1);
      for (let index = 0; index < logLinesPerSecond; index++)
        client.publish('plant/line1/log', `pump ${index} is well`, { qos: 1 });
      await delay(Math.max(0, startMs + 1000 - Date.now()));
    }
  };
  await feed(10);
  proxy.forget();
  await feed(measuredSeconds);
  const perDay = (count: number): string => Math.round((count * 86_400) / measuredSeconds).toString();
  const methods = ['PUT', 'GET', 'POST', 'DELETE', 'HEAD'].filter((method) => proxy.count(method) > 0);
  console.log(
    `\nRequests a day at default settings, measured over ${measuredSeconds} s: ${perDay(proxy.count())}`,
  );
  console.log(`  ${methods.map((method) => `${method} ${perDay(proxy.count(method))}`).join(', ')}`);
  await client.endAsync();
}
