import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { openRollups } from '../../cloud/rollups/open-rollups.ts';
import { parseLabelsJson } from '../../lake/model/labels.ts';
import { writeRequestBody } from '../../lake/receive/remote-write/encode.fixture.ts';
import { openEngine } from '../../lake/sql/duckdb/engine.ts';
import { seriesOf } from '../contract/rows.ts';
import { peakMemoryBytes } from '../harness/process.ts';
import { ask, cellsOf, type Figures, ratios, rivals, titles } from './promql-peers.ts';
import { runRemoteWriteLoad } from './remote-write-load.ts';
import { askRange, dayMs, idOf, queries, samplesOf, withRollups } from './rollups.ts';
import { median } from './side-by-side.ts';

// (g): 30 days at 15 s, by the hour. Rollups are of the cloud; it is asked in this process, its peers over HTTP.

const days = 30;
const series = 20;
const stepMs = 3_600_000;

export async function measureMonth(folder: string, rounds: number): Promise<void> {
  const endMs = Math.floor(Date.now() / dayMs) * dayMs;
  const startMs = endMs - days * dayMs;
  const peersFolder = join(folder, 'month');
  mkdirSync(peersFolder);
  await using stack = new AsyncDisposableStack();
  const peers = await rivals(stack, peersFolder);
  for (let dayStart = startMs; dayStart < endMs; dayStart += dayMs) {
    const body = writeRequestBody(
      Array.from({ length: series }, (_, index) => ({
        labels: parseLabelsJson(seriesOf(idOf(index + 1))),
        samples: samplesOf(index + 1, startMs, dayStart),
      })),
    );
    for (const { base } of peers) await runRemoteWriteLoad(`${base}/api/v1/write`, [body], 1);
  }
  const times = { startMs: startMs + dayMs, endMs, stepMs };
  await withRollups(folder, startMs, endMs, series, async (tables) => {
    await using engine = await openEngine({ directories: [folder], memoryBytesMax: 1024 ** 3, threads: 1 });
    const source = { ...tables, rollups: openRollups(tables) };
    console.log(titles);
    for (const query of queries) {
      const ours = await timed(rounds, () => askRange(source, engine, query, times));
      console.log(`(g) ${query}`.padEnd(30) + 'Firn'.padEnd(10) + cellsOf(ours));
      const others: Figures[] = [];
      for (const peer of peers) {
        const range = `start=${times.startMs / 1000}&end=${endMs / 1000}&step=${stepMs / 1000}`;
        const path = `/api/v1/query_range?query=${encodeURIComponent(query)}&${range}`;
        const figures = await ask(peer, path, rounds);
        others.push(figures);
        console.log(`${''.padEnd(24)}${peer.name.padEnd(16)}${cellsOf(figures)}`);
      }
      if (others.length > 0) console.log(`${''.padEnd(24)}${ratios(ours, others, 1)}`);
    }
  });
}

async function timed(rounds: number, work: () => Promise<unknown>): Promise<Figures> {
  const ms: number[] = [];
  const cpu: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const [start, before] = [performance.now(), process.cpuUsage()];
    await work();
    const { user, system } = process.cpuUsage(before);
    ms.push(performance.now() - start);
    cpu.push((user + system) / 1e6);
  }
  const [coldMs = 0, coldCpu = 0] = [ms.shift(), cpu.shift()];
  const peakMebibytes = peakMemoryBytes(process.pid) / 1024 ** 2;
  return { coldMs, coldCpu, warmMs: median(ms), warmCpu: median(cpu), peakMebibytes };
}
