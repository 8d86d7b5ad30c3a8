import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { call, type Part, promql, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';

// Real senders of remote write, as a site runs them: Prometheus 3 in both versions of the protocol, and vmagent.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const prometheus = findProgram('prometheus');
const vmagent = findProgram('vmagent');

interface Status {
  readonly counters: Readonly<Record<string, number>>;
}

async function countersOf(gateway: Part): Promise<Status['counters']> {
  const answer = await call(`http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v1/firn/status`);
  return ((await answer.json()) as Status).counters;
}

async function rows(gateway: Part, sql: string): Promise<unknown[][]> {
  const url = `http://127.0.0.1:${gateway.port('gatewayHttp')}/api/v1/firn/sql`;
  const answer = await fetch(url, {
    method: 'POST',
    body: JSON.stringify({ sql }),
    headers: { 'Content-Type': 'application/json' },
  });
  expect(answer.status).toBe(200);
  return ((await answer.json()) as { rows: unknown[][] }).rows;
}

describe.skipIf(!prometheus)('Prometheus (skipped where it is not installed: test/setup)', () => {
  test.each(['prometheus.WriteRequest', 'io.prometheus.write.v2.Request'])(
    '%s: samples, native histograms and metadata come in, and nothing fails',
    { timeout: 240_000 },
    async (message) => {
      const data = join(folder.path, message);
      await using gateway = await startPart('gateway', ['--data-dir', data]);
      const port = await freePort();
      const config = join(folder.path, `${message}.yml`);
      writeFileSync(config, configOf(port, gateway.port('gatewayHttp'), message));
      await using _prometheus = startProgram(prometheus ?? '', [
        `--config.file=${config}`,
        `--storage.tsdb.path=${join(folder.path, `${message}-tsdb`)}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--enable-feature=native-histograms,exemplar-storage,created-timestamp-zero-ingestion,metadata-wal-records',
      ]);
      const own = `http://127.0.0.1:${port}`;
      const seen = await waitFor('samples and histograms', 120_000, async () => {
        await promql(own, 'up').catch(() => undefined); // which Prometheus observes in a histogram
        const counters = await countersOf(gateway);
        const { remote_write_samples_total = 0, remote_write_histograms_total = 0 } = counters;
        return remote_write_samples_total > 1000 && remote_write_histograms_total > 10 ? counters : undefined;
      });
      expect(seen.remote_write_refused_requests_total).toBe(0);
      for (const what of ['samples', 'histograms', 'metadata']) {
        const failed = await promql(own, `prometheus_remote_storage_${what}_failed_total`);
        expect(failed.data.result.map(({ value }) => value[1])).toEqual(['0']);
      }
      const base = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
      await waitFor('metadata', 60_000, async () => {
        const answer = await call(`${base}/api/v1/metadata?metric=prometheus_http_requests_total`);
        const { data: found } = (await answer.json()) as { data: Record<string, { type: string }[]> };
        return found.prometheus_http_requests_total?.[0]?.type === 'counter' ? true : undefined;
      });
      // The histograms hold what the counters of the same requests say.
      const [latest] = await rows(
        gateway,
        `SELECT CAST(histogram->>'schema' AS INTEGER) AS schema, CAST(histogram->>'count' AS BIGINT) > 0 AS some,
           isnan(value) AS nan FROM metrics WHERE name = 'prometheus_http_request_duration_seconds'
           AND labels->>'handler' = '/api/v1/query' AND histogram IS NOT NULL ORDER BY timestamp DESC LIMIT 1`,
      );
      expect(latest?.slice(1)).toEqual([true, true]);
    },
  );
});

describe.skipIf(!vmagent)('vmagent (skipped where it is not installed: test/setup)', () => {
  test('falls back from its own protocol and its series are asked for by name', {
    timeout: 120_000,
  }, async () => {
    await using gateway = await startPart('gateway', ['--data-dir', join(folder.path, 'vmagent')]);
    const port = await freePort();
    const config = join(folder.path, 'vmagent.yml');
    writeFileSync(
      config,
      `scrape_configs:\n  - job_name: own\n    scrape_interval: 1s\n    static_configs: [{ targets: ['127.0.0.1:${port}'] }]\n`,
    );
    const base = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
    await using agent = startProgram(vmagent ?? '', [
      `-remoteWrite.url=${base}/api/v1/write`,
      `-remoteWrite.tmpDataPath=${join(folder.path, 'vmagent-tmp')}`,
      `-httpListenAddr=127.0.0.1:${port}`,
      `-promscrape.config=${config}`,
    ]);
    const found = await waitFor('series', 60_000, async () => {
      const { data } = await promql(base, 'vm_app_uptime_seconds{job="own"}');
      return data.result.length > 0 ? data.result : undefined;
    });
    expect(found[0]?.metric.instance).toBe(`127.0.0.1:${port}`);
    const { remote_write_samples_total: samples = 0 } = await countersOf(gateway);
    expect(samples).toBeGreaterThan(100);
    expect(agent.pid).toBeGreaterThan(0);
  });
});

const configOf = (port: number, gatewayPort: number, message: string): string => `
global: { scrape_interval: 1s, scrape_protocols: [PrometheusProto, OpenMetricsText1.0.0, PrometheusText0.0.4] }
scrape_configs:
  - job_name: prometheus
    static_configs: [{ targets: ['127.0.0.1:${port}'] }]
remote_write:
  - url: http://127.0.0.1:${gatewayPort}/api/v1/write
    protobuf_message: ${message}
    send_native_histograms: true
    send_exemplars: true
    queue_config: { batch_send_deadline: 1s }
    metadata_config: { send_interval: 5s }
`;
