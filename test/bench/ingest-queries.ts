import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPart } from '../harness/firn.ts';
import { threadCpuSeconds } from '../harness/process.ts';
import { readFlags } from './flags.ts';
import { runMqttLoad } from './mqtt-load.ts';
import { remoteWriteBodies, runRemoteWriteLoad } from './remote-write-load.ts';
import { median } from './side-by-side.ts';
import { threadShares } from './thread-shares.ts';

// How long an MQTT client waits for its PUBACK while long queries run: in turn without any, and with PromQL, LogQL and SQL
// over everything that the gateway has, two at a time.

const series = 3000;
const hourMs = 3_600_000;
const stepMs = 5000;
const linesOfPush = 2000;

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    messages: { type: 'string', default: '1500', about: 'of each measurement' },
    rounds: { type: 'string', default: '5', about: 'of each question; the median counts' },
    lines: { type: 'string', default: '200000', about: 'of logs that are there to be asked for' },
  });
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-ingest-'));
  try {
    await using part = await startPart('gateway', ['--data-dir', folder, '--log-level', 'warn']);
    const base = `http://127.0.0.1:${part.port('gatewayHttp')}`;
    const endMs = Date.now() - 60_000;
    await fill(base, endMs, Number(values.lines));
    const asked = questionsOf(base, endMs);
    const found = asked.map(() => [] as number[]);
    for (let round = 0; round < Number(values.rounds); round++)
      for (const [index, { name, ask }] of asked.entries()) {
        const before = threadCpuSeconds(part.pid);
        const { queries, p99 } = await publishDuring(part.port('mqtt'), Number(values.messages), ask);
        found[index]?.push(p99);
        const shares = threadShares(before, threadCpuSeconds(part.pid));
        console.log(
          `  ${name.padEnd(10)} p99 ${p99.toFixed(1).padStart(7)} ms, ${queries} queries; ${shares}`,
        );
      }
    const quiet = median(found[0] ?? []);
    console.log('\n  queries      PUBACK p99   times that without');
    for (const [index, { name }] of asked.entries()) {
      const p99 = median(found[index] ?? []);
      console.log(
        `  ${name.padEnd(10)}${p99.toFixed(1).padStart(10)} ms${(p99 / quiet).toFixed(2).padStart(12)}`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An hour of samples, and as many lines. */
async function fill(base: string, endMs: number, lines: number): Promise<void> {
  const startMs = endMs - hourMs;
  const shape = { series, samplesPerSeries: hourMs / stepMs, seriesPerRequest: 1000, startMs, stepMs };
  await runRemoteWriteLoad(`${base}/api/v1/write`, remoteWriteBodies(shape), 2);
  for (let first = 0; first < lines; first += linesOfPush) {
    const values = Array.from({ length: linesOfPush }, (_, index) => [
      `${startMs + Math.floor(((first + index) / lines) * hourMs)}${String(index).padStart(6, '0')}`,
      JSON.stringify({ status: 200 + (index % 300), path: `/api/${index % 97}/item`, took: index % 1000 }),
    ]);
    const body = JSON.stringify({ streams: [{ stream: { app: `press-${first % 7}` }, values }] });
    const headers = { 'content-type': 'application/json' };
    const answer = await fetch(`${base}/loki/api/v1/push`, { method: 'POST', headers, body });
    if (!answer.ok) throw new Error(`push: ${answer.status} ${await answer.text()}`);
  }
}

type Ask = ((signal: AbortSignal) => Promise<void>) | undefined;

function questionsOf(base: string, endMs: number): { readonly name: string; readonly ask: Ask }[] {
  const range = (query: string) => ({
    query,
    start: String((endMs - hourMs) / 1000),
    end: String(endMs / 1000),
  });
  const get = async (path: string, parameters: Record<string, string>, signal: AbortSignal) => {
    const answer = await fetch(`${base}${path}?${new URLSearchParams(parameters)}`, { signal });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
  };
  const sql = 'SELECT labels, avg(value), count(*) FROM metrics GROUP BY labels ORDER BY 2 DESC LIMIT 5';
  return [
    { name: 'none', ask: undefined },
    {
      name: 'PromQL',
      ask: (signal) =>
        get(
          '/api/v1/query_range',
          // Another step each time: nothing is remembered.
          { ...range('sum by (line) (rate({__name__=~".+"}[5m]))'), step: `${5 + Math.random()}` },
          signal,
        ),
    },
    {
      name: 'LogQL',
      ask: (signal) =>
        get(
          '/loki/api/v1/query_range',
          { ...range('sum by (status) (count_over_time({app=~".+"} | json | took > 10 [1m]))'), step: '15s' },
          signal,
        ),
    },
    {
      name: 'SQL',
      ask: async (signal) => {
        const answer = await fetch(`${base}/api/v1/firn/sql`, {
          ...{ method: 'POST', headers: { 'content-type': 'application/json' }, signal },
          body: JSON.stringify({ sql }),
        });
        if (!answer.ok) throw new Error(`sql: ${answer.status} ${await answer.text()}`);
        await answer.text();
      },
    },
  ];
}

/** Twenty clients with one message under way each, while two clients ask again and again. */
async function publishDuring(
  port: number,
  messagesPerConnection: number,
  ask: Ask,
): Promise<{ queries: number; p99: number }> {
  const stop = new AbortController();
  let queries = 0;
  const asking = async (): Promise<void> => {
    while (ask !== undefined && !stop.signal.aborted) {
      await ask(stop.signal).catch((error: unknown) => {
        if (!stop.signal.aborted) throw error;
      });
      queries++;
    }
  };
  const clients = [asking(), asking()];
  const load = { port, connections: 20, windowSize: 1, payload: (_: number, index: number) => `${index}.5` };
  const { acknowledgedMs } = await runMqttLoad({ ...load, messagesPerConnection });
  stop.abort();
  await Promise.all(clients);
  return { queries, p99: acknowledgedMs };
}
