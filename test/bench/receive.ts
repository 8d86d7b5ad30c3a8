import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startPart } from '../harness/firn.ts';
import { cpuSeconds, peakMemoryBytes } from '../harness/process.ts';
import { readFlags } from './flags.ts';
import { runMqttLoad } from './mqtt-load.ts';
import { remoteWriteBodies, runRemoteWriteLoad } from './remote-write-load.ts';
import { mqttSideBySide, print, remoteWriteSideBySide } from './side-by-side.ts';

// What receiving costs: remote write until it is durable, with and without what becomes of it later, beside
// VictoriaMetrics and Prometheus; MQTT beside mosquitto; and the memory of a gateway that takes both at a steady rate.

const MEBIBYTE = 1024 * 1024;

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    only: { type: 'string', default: 'write,mqtt,steady', about: 'which of these to measure' },
    messages: { type: 'string', default: '400000', about: 'over MQTT' },
    samples: { type: 'string', default: '2000000', about: 'by remote write' },
    rounds: { type: 'string', default: '3', about: 'of each; the median counts' },
    seconds: { type: 'string', default: '60', about: 'of the steady load' },
  });
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-'));
  const only = values.only.split(',');
  const rounds = Number(values.rounds);
  try {
    if (only.includes('write'))
      print(
        'Remote write, samples until acknowledged',
        await remoteWriteSideBySide(folder, {
          samples: Number(values.samples),
          rounds,
          others: [{ name: 'Firn without sealing', flags: unsealed }],
          prometheus: true,
        }),
      );
    if (only.includes('mqtt'))
      print(
        'MQTT QoS 1, messages until acknowledged',
        await mqttSideBySide(folder, Number(values.messages), rounds),
      );
    if (only.includes('steady')) await steady(folder, Number(values.seconds));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Rows stay in the log. */
export const unsealed = [
  '--seal-interval-ms',
  '3600000',
  '--seal-rows-max',
  '100000000',
  '--seal-bytes-max',
  '10000000000',
];

/** 10,000 messages a second over MQTT and 50,000 samples a second by remote write. */
async function steady(folder: string, seconds: number): Promise<void> {
  await using part = await startPart('gateway', [
    ...['--data-dir', join(folder, 'steady'), '--log-level', 'warn'],
  ]);
  const url = `http://127.0.0.1:${part.port('gatewayHttp')}/api/v1/write`;
  const bodies = remoteWriteBodies({
    ...{ series: 10_000, samplesPerSeries: 5 * seconds, seriesPerRequest: 2000 },
    ...{ startMs: Date.now() - 3_600_000, stepMs: 1000 },
  });
  const cpuBefore = cpuSeconds(part.pid);
  const start = performance.now();
  let late = 0;
  for (let second = 0; second < seconds; second++) {
    await Promise.all([
      runRemoteWriteLoad(url, bodies.slice(second * 25, (second + 1) * 25), 2),
      runMqttLoad({
        ...{ port: part.port('mqtt'), connections: 4, messagesPerConnection: 2500, windowSize: 500 },
        payload: (connection, index) => `{"value":${(index % 1000) / 10},"c":${connection}}`,
      }),
    ]);
    const ahead = start + (second + 1) * 1000 - performance.now();
    if (ahead > 0) await delay(ahead);
    else late++;
  }
  const took = (performance.now() - start) / 1000;
  console.log('\n10,000 MQTT messages and 50,000 remote-write samples a second');
  console.log(`  peak memory ${(peakMemoryBytes(part.pid) / MEBIBYTE).toFixed(0)} MiB`);
  console.log(`  CPU ${(((cpuSeconds(part.pid) - cpuBefore) / took) * 100).toFixed(0)} % of one core`);
  console.log(`  ${seconds} s of load took ${took.toFixed(1)} s, ${late} of its seconds began late`);
}
