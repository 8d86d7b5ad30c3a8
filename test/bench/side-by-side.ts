import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { startPart } from '../harness/firn.ts';
import {
  cpuSeconds,
  freePort,
  peakMemoryBytes,
  startProgram,
  threadCpuSeconds,
  waitFor,
  waitForPort,
} from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { runMqttLoad } from './mqtt-load.ts';
import { remoteWriteBodies, runRemoteWriteLoad } from './remote-write-load.ts';
import { threadShares } from './thread-shares.ts';

// The same load on several programs in turn: how fast, and what it costs. Whole processes, figures from /proc.

interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
}

export interface Figures {
  readonly name: string;
  readonly perSecond: number;
  readonly cpuSecondsPerMillion: number;
  readonly peakMebibytes: number;
  /** Until a message is acknowledged, of 99 % of them. */
  readonly acknowledgedMs?: number;
}

/** What one run of a load has taken. */
interface Taken {
  readonly seconds: number;
  readonly acknowledgedMs?: number;
}

const MEBIBYTE = 1024 * 1024;

/** MQTT QoS 1 until acknowledged, beside mosquitto (no subscriber: it stores nothing). */
export async function mqttSideBySide(folder: string, messages: number, rounds: number): Promise<Figures[]> {
  await using stack = new AsyncDisposableStack();
  const subjects = [await firnGateway(stack, join(folder, 'mqtt'), 'mqtt')];
  const mosquitto = findProgram('mosquitto');
  if (mosquitto) {
    const port = await freePort();
    const config = join(folder, 'mosquitto.conf');
    writeFileSync(
      config,
      `listener ${port} 127.0.0.1\nallow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages 0\n`,
    );
    const program = stack.use(startProgram(mosquitto, ['-c', config]));
    await waitForPort(port);
    subjects.push({ name: 'mosquitto (not stored)', pid: program.pid, port });
  } else console.log('mosquitto is not installed (test/setup): measured without it');
  const connections = 4;
  return await measure(subjects, messages, rounds, (subject) =>
    runMqttLoad({
      port: subject.port,
      connections,
      messagesPerConnection: messages / connections,
      windowSize: 1000,
      payload: (connection, index) =>
        `{"value":${(index % 1000) / 10},"ts":${1_760_000_000_000 + index},"c":${connection}}`,
    }),
  );
}

export interface RemoteWriteRun {
  readonly samples: number;
  readonly rounds: number;
  /** Of the same load, other ways to run Firn, after the usual one. */
  readonly others?: readonly { readonly name: string; readonly flags: readonly string[] }[];
  readonly prometheus?: boolean;
}

/** Remote write 1.0 of 10,000 series, 2000 samples a request over 4 connections, until acknowledged. */
export async function remoteWriteSideBySide(folder: string, run: RemoteWriteRun): Promise<Figures[]> {
  await using stack = new AsyncDisposableStack();
  const subjects = [await firnGateway(stack, join(folder, 'write'), 'gatewayHttp')];
  for (const [index, { name, flags }] of (run.others ?? []).entries())
    subjects.push({
      ...(await firnGateway(stack, join(folder, `write-${index}`), 'gatewayHttp', flags)),
      name,
    });
  subjects.push(...(await victoriaMetrics(stack, folder)));
  if (run.prometheus) subjects.push(...(await prometheus(stack, folder)));
  const series = 10_000;
  let round = 0;
  const startMs = Date.now() - 6 * 3_600_000;
  let bodies: Uint8Array[] = [];
  return await measure(subjects, run.samples, run.rounds, async (subject, first) => {
    if (first) {
      const samplesPerSeries = Math.ceil(run.samples / series);
      bodies = remoteWriteBodies({
        series,
        samplesPerSeries,
        seriesPerRequest: 2000,
        startMs: startMs + round++ * samplesPerSeries * 15_000,
        stepMs: 15_000,
      });
    }
    return { seconds: await runRemoteWriteLoad(`http://127.0.0.1:${subject.port}/api/v1/write`, bodies, 4) };
  });
}

async function victoriaMetrics(stack: AsyncDisposableStack, folder: string): Promise<Subject[]> {
  const victoria = findProgram('victoria-metrics');
  if (!victoria) {
    console.log('VictoriaMetrics is not installed (test/setup): measured without it');
    return [];
  }
  const port = await freePort();
  const program = stack.use(
    startProgram(victoria, [
      `-storageDataPath=${join(folder, 'vm')}`,
      `-httpListenAddr=127.0.0.1:${port}`,
      '-retentionPeriod=10y',
    ]),
  );
  await waitFor('VictoriaMetrics', 20_000, async () =>
    (await fetch(`http://127.0.0.1:${port}/health`)).ok ? true : undefined,
  );
  return [{ name: 'VictoriaMetrics (not yet durable)', pid: program.pid, port }];
}

/** Its log is written, but not synced, before it answers. */
async function prometheus(stack: AsyncDisposableStack, folder: string): Promise<Subject[]> {
  const path = findProgram('prometheus');
  if (!path) {
    console.log('Prometheus is not installed (test/setup): measured without it');
    return [];
  }
  const port = await freePort();
  const config = join(folder, 'prometheus.yml');
  // Requests of several connections pass one another.
  writeFileSync(config, 'storage: { tsdb: { out_of_order_time_window: 1d } }\n');
  const program = stack.use(
    startProgram(path, [
      `--config.file=${config}`,
      `--storage.tsdb.path=${join(folder, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--web.enable-remote-write-receiver',
    ]),
  );
  await waitFor('Prometheus', 20_000, async () =>
    (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok ? true : undefined,
  );
  return [{ name: 'Prometheus (not synced)', pid: program.pid, port }];
}

/** One warm-up round, then `rounds` in turn; of each figure the median. */
async function measure(
  subjects: readonly Subject[],
  units: number,
  rounds: number,
  load: (subject: Subject, first: boolean) => Promise<Taken>,
): Promise<Figures[]> {
  const taken = subjects.map((): { perSecond: number; cpu: number; acknowledgedMs?: number }[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, subject] of subjects.entries()) {
      const before = cpuSeconds(subject.pid);
      const threadsBefore = threadCpuSeconds(subject.pid);
      const { seconds, ...others } = await load(subject, index === 0);
      if (round === rounds && subject.name.startsWith('Firn'))
        console.log(`${subject.name}: ${threadShares(threadsBefore, threadCpuSeconds(subject.pid))}`);
      if (round > 0)
        taken[index]?.push({
          perSecond: units / seconds,
          cpu: ((cpuSeconds(subject.pid) - before) / units) * 1e6,
          ...others,
        });
    }
  }
  return subjects.map((subject, index) => ({
    name: subject.name,
    perSecond: median((taken[index] ?? []).map((round) => round.perSecond)),
    cpuSecondsPerMillion: median((taken[index] ?? []).map((round) => round.cpu)),
    peakMebibytes: peakMemoryBytes(subject.pid) / MEBIBYTE,
    acknowledgedMs: median((taken[index] ?? []).flatMap((round) => round.acknowledgedMs ?? [])),
  }));
}

export const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function firnGateway(
  stack: AsyncDisposableStack,
  dataDir: string,
  portName: string,
  flags: readonly string[] = [],
): Promise<Subject> {
  const part = stack.use(
    await startPart('gateway', ['--data-dir', dataDir, '--log-level', 'warn', ...flags]),
  );
  return { name: 'Firn gateway (durable)', pid: part.pid, port: part.port(portName) };
}

export function print(title: string, figures: readonly Figures[]): void {
  console.log(`\n${title}`);
  const withLatency = !Number.isNaN(figures[0]?.acknowledgedMs ?? Number.NaN);
  console.log(
    `  ${'subject'.padEnd(36)}${'per second'.padStart(14)}${'CPU s / million'.padStart(18)}${'peak MiB'.padStart(11)}${withLatency ? 'p99 ms'.padStart(9) : ''}`,
  );
  for (const each of figures) {
    const cells = [
      each.perSecond.toFixed(0).padStart(14),
      each.cpuSecondsPerMillion.toFixed(2).padStart(18),
      each.peakMebibytes.toFixed(0).padStart(11),
      withLatency ? (each.acknowledgedMs ?? Number.NaN).toFixed(1).padStart(9) : '',
    ];
    console.log(`  ${each.name.padEnd(36)}${cells.join('')}`);
  }
  const [ours, ...others] = figures;
  if (ours === undefined) return;
  for (const other of others) {
    const rate = (ours.perSecond / other.perSecond).toFixed(2);
    const cpu = (ours.cpuSecondsPerMillion / other.cpuSecondsPerMillion).toFixed(2);
    console.log(`  ${ours.name} / ${other.name}: rate ${rate}, CPU ${cpu}`);
  }
}
