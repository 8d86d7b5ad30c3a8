import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connectAsync } from 'mqtt';
import { promql, readKey, startPart } from '../harness/firn.ts';
import {
  cpuSeconds,
  freePort,
  peakMemoryBytes,
  startProgram,
  waitFor,
  waitForPort,
} from '../harness/process.ts';
import { findProgram } from '../harness/programs.ts';
import { runMqttLoad } from './mqtt-load.ts';
import { remoteWriteBodies, runRemoteWriteLoad } from './remote-write-load.ts';

// The path of a measurement, measured: how fast it comes in until it is durable, what that costs, and how soon it can be
// asked for. Beside mosquitto (QoS 1, no subscriber: it stores nothing) and VictoriaMetrics (acknowledges before the data
// is durable). Whole processes, figures from /proc.

interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly port: number;
}

interface Figures {
  readonly name: string;
  readonly perSecond: number;
  readonly cpuSecondsPerMillion: number;
  readonly peakMebibytes: number;
}

const MEBIBYTE = 1024 * 1024;

export async function main(argv: readonly string[]): Promise<void> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      messages: { type: 'string', default: '400000' },
      samples: { type: 'string', default: '2000000' },
      rounds: { type: 'string', default: '3' },
    },
  });
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-'));
  try {
    const rounds = Number(values.rounds);
    print('MQTT QoS 1, messages until acknowledged', await mqtt(folder, Number(values.messages), rounds));
    print(
      'Remote write, samples until acknowledged',
      await remoteWrite(folder, Number(values.samples), rounds),
    );
    await latency(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function mqtt(folder: string, messages: number, rounds: number): Promise<Figures[]> {
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

async function remoteWrite(folder: string, samples: number, rounds: number): Promise<Figures[]> {
  await using stack = new AsyncDisposableStack();
  const subjects = [await firnGateway(stack, join(folder, 'write'), 'gatewayHttp')];
  const victoria = findProgram('victoria-metrics');
  if (victoria) {
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
    subjects.push({ name: 'VictoriaMetrics (not yet durable)', pid: program.pid, port });
  } else console.log('VictoriaMetrics is not installed (test/setup): measured without it');
  const series = 10_000;
  let round = 0;
  const startMs = Date.now() - 6 * 3_600_000;
  let bodies: Uint8Array[] = [];
  return await measure(subjects, samples, rounds, (subject, first) => {
    if (first) {
      const samplesPerSeries = Math.ceil(samples / series);
      bodies = remoteWriteBodies({
        series,
        samplesPerSeries,
        seriesPerRequest: 2000,
        startMs: startMs + round++ * samplesPerSeries * 15_000,
        stepMs: 15_000,
      });
    }
    return runRemoteWriteLoad(`http://127.0.0.1:${subject.port}/api/v1/write`, bodies, 4);
  });
}

/** One warm-up round, then `rounds` in turn; of each figure the median. */
async function measure(
  subjects: readonly Subject[],
  units: number,
  rounds: number,
  load: (subject: Subject, first: boolean) => Promise<number>,
): Promise<Figures[]> {
  const taken = subjects.map((): { perSecond: number; cpu: number }[] => []);
  for (let round = 0; round <= rounds; round++) {
    for (const [index, subject] of subjects.entries()) {
      const before = cpuSeconds(subject.pid);
      const seconds = await load(subject, index === 0);
      if (round > 0)
        taken[index]?.push({
          perSecond: units / seconds,
          cpu: ((cpuSeconds(subject.pid) - before) / units) * 1e6,
        });
    }
  }
  return subjects.map((subject, index) => ({
    name: subject.name,
    perSecond: median((taken[index] ?? []).map((round) => round.perSecond)),
    cpuSecondsPerMillion: median((taken[index] ?? []).map((round) => round.cpu)),
    peakMebibytes: peakMemoryBytes(subject.pid) / MEBIBYTE,
  }));
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function firnGateway(stack: AsyncDisposableStack, dataDir: string, portName: string): Promise<Subject> {
  const part = stack.use(await startPart('gateway', ['--data-dir', dataDir, '--log-level', 'warn']));
  return { name: 'Firn gateway (durable)', pid: part.pid, port: part.port(portName) };
}

function print(title: string, figures: readonly Figures[]): void {
  console.log(`\n${title}`);
  console.log(
    `  ${'subject'.padEnd(36)}${'per second'.padStart(14)}${'CPU s / million'.padStart(18)}${'peak MiB'.padStart(11)}`,
  );
  for (const each of figures) {
    const cells = [
      each.perSecond.toFixed(0).padStart(14),
      each.cpuSecondsPerMillion.toFixed(2).padStart(18),
      each.peakMebibytes.toFixed(0).padStart(11),
    ];
    console.log(`  ${each.name.padEnd(36)}${cells.join('')}`);
  }
  const [ours, theirs] = figures;
  if (ours && theirs) {
    const rate = (ours.perSecond / theirs.perSecond).toFixed(2);
    console.log(
      `  Firn / ${theirs.name}: rate ${rate}, CPU ${(ours.cpuSecondsPerMillion / theirs.cpuSecondsPerMillion).toFixed(2)}`,
    );
  }
}

/** From publishing to the answer, with default settings. */
async function latency(folder: string): Promise<void> {
  const store = ['--store-kind', 'directory', '--store-path', join(folder, 'lake'), '--log-level', 'warn'];
  await using cloud = await startPart('cloud', ['--data-dir', join(folder, 'cloud'), ...store]);
  await using gateway = await startPart('gateway', ['--data-dir', join(folder, 'latency'), ...store]);
  const key = readKey(String(cloud.ready.keyFile));
  const client = await connectAsync(`mqtt://127.0.0.1:${gateway.port('mqtt')}`);
  const local: number[] = [];
  const central: number[] = [];
  for (let index = 0; index < 10; index++) {
    const query = `latency{topic="bench/${index}/latency"}`;
    const start = performance.now();
    await client.publishAsync(`bench/${index}/latency`, '1', { qos: 1 });
    const ask = (base: string, who?: typeof key) =>
      waitFor(base, 30_000, async () => (await promql(base, query, who)).data.result[0]);
    await ask(`http://127.0.0.1:${gateway.port('gatewayHttp')}`);
    local.push(performance.now() - start);
    await ask(`http://127.0.0.1:${cloud.port('cloudHttp')}`, key);
    central.push(performance.now() - start);
  }
  await client.endAsync();
  console.log('\nFrom publishing to the PromQL answer, ms (median, worst of 10)');
  for (const [name, values] of [
    ['gateway', local],
    ['cloud', central],
  ] as const) {
    console.log(
      `  ${name.padEnd(10)}${median(values).toFixed(0).padStart(8)}${Math.max(...values)
        .toFixed(0)
        .padStart(8)}`,
    );
  }
}
