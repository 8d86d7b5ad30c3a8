import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { promql, readKey, startPart } from '../harness/firn.ts';
import { waitFor } from '../harness/process.ts';
import { readFlags } from './flags.ts';
import { median, mqttSideBySide, print, remoteWriteSideBySide } from './side-by-side.ts';

// The path of a measurement, measured: how fast it comes in until it is durable, what that costs, and how soon it can be
// asked for. Beside mosquitto (QoS 1, no subscriber: it stores nothing) and VictoriaMetrics (acknowledges before the data
// is durable). Whole processes, figures from /proc.

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    messages: { type: 'string', default: '400000', about: 'over MQTT' },
    samples: { type: 'string', default: '2000000', about: 'by remote write' },
    rounds: { type: 'string', default: '3', about: 'of each; the median counts' },
  });
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-'));
  try {
    const rounds = Number(values.rounds);
    print(
      'MQTT QoS 1, messages until acknowledged',
      await mqttSideBySide(folder, Number(values.messages), rounds),
    );
    print(
      'Remote write, samples until acknowledged',
      await remoteWriteSideBySide(folder, { samples: Number(values.samples), rounds }),
    );
    await latency(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
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
