import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { call, type PromAnswer, promql, readKey, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';

// A real Prometheus remote-writes its own metrics into the gateway, and both answer the same for the same instants.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const prometheus = findProgram('prometheus');

describe.skipIf(!prometheus)('a real Prometheus (skipped where it is not installed: test/setup)', () => {
  test('rate() through the cloud equals its own', { timeout: 240_000 }, async () => {
    const store = ['--store-kind', 'directory', '--store-path', join(folder.path, 'lake')];
    await using cloud = await startPart('cloud', ['--data-dir', join(folder.path, 'cloud'), ...store]);
    await using gateway = await startPart('gateway', ['--data-dir', join(folder.path, 'gateway'), ...store]);
    const key = readKey(String(cloud.ready.keyFile));
    const port = await freePort();
    writeFileSync(join(folder.path, 'prometheus.yml'), config(port, gateway.port('gatewayHttp')));
    await using _prometheus = startProgram(prometheus ?? '', [
      `--config.file=${join(folder.path, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder.path, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]);
    const own = `http://127.0.0.1:${port}`;
    const ours = `http://127.0.0.1:${cloud.port('cloudHttp')}`;
    await waitFor('Prometheus to answer', 30_000, async () =>
      (await promql(own, 'up')).data.result.length > 0 ? true : undefined,
    );
    for (let index = 0; index < 40; index++) await promql(own, 'up');
    const query = 'rate(prometheus_http_requests_total[1m])';
    await new Promise((resolve) => setTimeout(resolve, 45_000));
    const end = Math.floor(Date.now() / 1000) - 8;
    const range = `query=${encodeURIComponent(query)}&start=${end - 30}&end=${end}&step=5`;
    const expected = (await (await call(`${own}/api/v1/query_range?${range}`)).json()) as PromAnswer;
    const answer = (await (await call(`${ours}/api/v1/query_range?${range}`, key)).json()) as PromAnswer;
    expect(expected.data.result.length).toBeGreaterThan(3);
    expect(comparable(answer)).toEqual(comparable(expected));
    await using reader = await startReader(gateway.port('gatewayHttp'));
    const read = (await (await call(`${reader.base}/api/v1/query_range?${range}`)).json()) as PromAnswer;
    expect(comparable(read)).toEqual(comparable(expected));
    const metadata = (await (
      await call(`${ours}/api/v1/metadata?metric=prometheus_http_requests_total`, key)
    ).json()) as { data: Record<string, { type: string }[]> };
    expect(metadata.data.prometheus_http_requests_total?.[0]?.type).toBe('counter');
  });
});

/** A Prometheus that has no samples of its own and reads them from the gateway. */
async function startReader(gatewayPort: number): Promise<AsyncDisposable & { readonly base: string }> {
  const port = await freePort();
  const file = join(folder.path, 'reader.yml');
  const url = `http://127.0.0.1:${gatewayPort}/api/v1/read`;
  writeFileSync(file, `remote_read: [{ url: '${url}', read_recent: true }]\n`);
  const started = startProgram(prometheus ?? '', [
    ...[`--config.file=${file}`, `--storage.tsdb.path=${join(folder.path, 'reader')}`],
    `--web.listen-address=127.0.0.1:${port}`,
  ]);
  const base = `http://127.0.0.1:${port}`;
  await waitFor('the reader', 30_000, async () => {
    const response = await fetch(`${base}/-/ready`).catch(() => undefined);
    return response?.ok ? true : undefined;
  });
  return { base, [Symbol.asyncDispose]: () => started[Symbol.asyncDispose]() };
}

/** Series by their own labels (without the gateway's), with values to 12 digits. */
function comparable(answer: PromAnswer): Record<string, [number, string][]> {
  const series = answer.data.result.map(({ metric: { site, gateway, ...own }, values }) => {
    const key = JSON.stringify(Object.entries(own).sort());
    return [
      key,
      values.map(([time, value]): [number, string] => [time, Number(value).toPrecision(12)]),
    ] as const;
  });
  return Object.fromEntries(series.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const config = (port: number, gatewayPort: number): string => `
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: prometheus
    static_configs: [{ targets: ['127.0.0.1:${port}'] }]
remote_write:
  - url: http://127.0.0.1:${gatewayPort}/api/v1/write
    queue_config: { batch_send_deadline: 1s }
    metadata_config: { send_interval: 5s }
`;
