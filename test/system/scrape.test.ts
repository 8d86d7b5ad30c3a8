import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type PromAnswer, promql, runFirn, startPart, temporaryFolder } from '../harness/firn.ts';
import { freePort, startProgram, waitFor } from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';

// A real Prometheus and the gateway scrape the same targets with the same scrape_configs, and answer the same.

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const prometheus = findProgram('prometheus');

describe.skipIf(!prometheus)(
  'beside a real Prometheus (skipped where it is not installed: test/setup)',
  () => {
    test('both have the same series with the same values', { timeout: 240_000 }, async () => {
      const exporter = await startExporter();
      await using _exporter = exporter;
      const port = await freePort();
      const file = join(folder.path, 'prometheus.yml');
      writeFileSync(
        join(folder.path, 'targets.json'),
        JSON.stringify([{ targets: [`127.0.0.1:${port}`], labels: { kind: 'self' } }]),
      );
      writeFileSync(file, config(exporter.port));
      const checked = await runFirn('scrape', 'check', '--config', file);
      expect([checked.code, checked.stdout]).toEqual([
        0,
        expect.stringContaining(`http://127.0.0.1:${port}/metrics`),
      ]);
      await using _prometheus = startProgram(prometheus ?? '', [
        ...[`--config.file=${file}`, `--storage.tsdb.path=${join(folder.path, 'tsdb')}`],
        `--web.listen-address=127.0.0.1:${port}`,
      ]);
      await using gateway = await startPart('gateway', [
        ...['--data-dir', join(folder.path, 'gateway'), '--scrape-config-file', file],
      ]);
      const theirs = `http://127.0.0.1:${port}`;
      const ours = `http://127.0.0.1:${gateway.port('gatewayHttp')}`;
      const both = async (query: string) =>
        [comparable(await promql(theirs, query)), comparable(await promql(ours, query))] as const;
      // The exporter's values stand still after its first scrapes, so that both have seen the same.
      for (const query of [
        '{job="exporter", __name__!~"scrape_.*"}',
        'up',
        'scrape_samples_scraped{job="exporter"}',
        'scrape_samples_post_metric_relabeling{job="exporter"}',
      ])
        await waitFor(`the same answer to ${query}`, 60_000, async () => {
          const [expected, answer] = await both(query).catch(() => [{}, {}] as const);
          return Object.keys(expected).length > 1 || query.startsWith('scrape')
            ? (Object.keys(expected).length > 0 && JSON.stringify(answer) === JSON.stringify(expected)) ||
                undefined
            : undefined;
        });
      // Prometheus' own metrics change: the series are the same, and what counts up does so alike.
      const names =
        'count by (__name__) ({job="prometheus", __name__=~"go_.*|prometheus_build_info|process_.*"})';
      await waitFor('the same series of Prometheus', 60_000, async () => {
        const [expected, answer] = await both(names);
        return Object.keys(expected).length > 20 && JSON.stringify(answer) === JSON.stringify(expected)
          ? true
          : undefined;
      });
      exporter.drop();
      const gone = 'count({job="exporter", __name__="leaving"})';
      await waitFor('both to see that a series is gone', 60_000, async () => {
        const [expected, answer] = await both(gone);
        return Object.keys(expected).length === 0 && Object.keys(answer).length === 0 ? true : undefined;
      });
      exporter.fail();
      await waitFor('both to see that the target is down', 60_000, async () => {
        const [expected, answer] = await both(
          'up{job="exporter"} == 0 or on() count({job="exporter",__name__="steady"})',
        );
        return Object.values(expected)[0] === '0' && JSON.stringify(answer) === JSON.stringify(expected)
          ? true
          : undefined;
      });
      const targets = async (base: string) => {
        const answer = (await (await fetch(`${base}/api/v1/targets?state=active`)).json()) as {
          data: {
            activeTargets: { scrapeUrl: string; health: string; labels: object; scrapePool: string }[];
          };
        };
        const shown = answer.data.activeTargets.map(({ scrapeUrl, health, labels, scrapePool }) => ({
          scrapeUrl,
          health,
          labels,
          scrapePool,
        }));
        return shown.sort((a, b) => (a.scrapeUrl < b.scrapeUrl ? -1 : 1));
      };
      expect(await targets(ours)).toEqual(await targets(theirs));
    });
  },
);

/** An exporter in OpenMetrics, with everything that a label can have. */
async function startExporter() {
  let state: 'all' | 'fewer' | 'none' = 'all';
  const server = createServer((request, response) => {
    if (state === 'none') return response.writeHead(500).end();
    const openMetrics = request.headers.accept?.includes('application/openmetrics-text');
    response.setHeader(
      'content-type',
      openMetrics ? 'application/openmetrics-text; version=1.0.0; charset=utf-8' : 'text/plain',
    );
    return response.end(`# HELP steady A \\"quoted\\" text.
# TYPE steady gauge
steady{a="x\\"y\\\\z\\nw",b="é語",site="theirs",instance="their own"} 1.5
steady{a="",b="2"} +Inf
# TYPE jobs counter
jobs_total{drop_me="1",keep="1"} 17 # {trace_id="abc"} 0.5
jobs_created{drop_me="1",keep="1"} 1.5
# TYPE lat_seconds histogram
# UNIT lat_seconds seconds
lat_seconds_bucket{le="0.5"} 1
lat_seconds_bucket{le="1.0"} 2
lat_seconds_bucket{le="+Inf"} 3
lat_seconds_sum 4.25
lat_seconds_count 3
# TYPE unwanted gauge
unwanted 1
${state === 'all' ? 'leaving 1\n' : ''}# EOF
`);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    drop: () => {
      state = 'fewer';
    },
    fail: () => {
      state = 'none';
    },
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Values by series; without the gateway's labels, and what it does to a sender's own of the same name. */
function comparable(answer: PromAnswer): Record<string, string> {
  const entries = answer.data.result.map(({ metric: { gateway, exported_site, site, ...own }, value }) => {
    const theirs = exported_site ?? (gateway === undefined ? site : undefined);
    return [
      JSON.stringify(Object.entries({ ...own, ...(theirs && { site: theirs }) }).sort()),
      value[1],
    ] as const;
  });
  return Object.fromEntries(entries.sort(([a], [b]) => (a < b ? -1 : 1)));
}

const config = (exporterPort: number): string => `
global: { scrape_interval: 1s }
scrape_configs:
  - job_name: exporter
    static_configs: [{ targets: ['127.0.0.1:${exporterPort}'], labels: { room: 'hall 1', __tmp_shard: x } }]
    relabel_configs:
      - { source_labels: [__tmp_shard], target_label: shard, replacement: 's_$1' }
      - { source_labels: [__address__], modulus: 7, target_label: bucket, action: hashmod }
    metric_relabel_configs:
      - { source_labels: [__name__], regex: 'unw.*', action: drop }
      - { regex: 'drop_.*', action: labeldrop }
      - { source_labels: [keep], regex: '(.+)', target_label: kept, replacement: '<$1>' }
  - job_name: prometheus
    file_sd_configs: [{ files: [targets.json], refresh_interval: 1s }]
`;
