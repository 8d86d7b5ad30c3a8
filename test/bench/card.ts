import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync, type MqttClient } from 'mqtt';
import { startPart } from '../harness/firn.ts';
import { readFlags } from './flags.ts';

// What a gateway writes to its card for each byte that it receives, under the load of a small site: sensors that say one
// value a second each, with QoS 1. Side by side with three settings. Counted by /proc/PID/io: what the process made the
// kernel write; the journal of the file system and what the card does inside come on top.

interface Setting {
  readonly name: string;
  readonly flags: readonly string[];
}

const settings: readonly Setting[] = [
  { name: 'defaults', flags: [] },
  {
    name: 'commit 100 ms, seal 30 s',
    flags: ['--wal-commit-interval-ms', '100', '--seal-interval-ms', '30000'],
  },
  {
    name: 'commit 1 s, seal 2 min',
    flags: ['--wal-commit-interval-ms', '1000', '--seal-interval-ms', '120000'],
  },
];
const cardBytes = 32e9;
const cycles = 1000;

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    sensors: { type: 'string', default: '50', about: 'that send a value a second each' },
    seconds: { type: 'string', default: '300', about: 'that each setting is measured for' },
  });
  const [sensors, seconds] = [Number(values.sensors), Number(values.seconds)];
  const folder = mkdtempSync(join(tmpdir(), 'firn-card-'));
  try {
    console.log(`${sensors} sensors, one value a second each, for ${seconds} s`);
    console.log(
      `  ${'setting'.padEnd(28)}${'bytes/byte'.padStart(12)}${'bytes/value'.padStart(13)}${'MB/day'.padStart(9)}${'years of a 32 GB card'.padStart(24)}`,
    );
    const figures = await Promise.all(
      settings.map((one, at) => measure(one, join(folder, `${at}`), sensors, seconds)),
    );
    for (const line of figures) console.log(line);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(
  { name, flags }: Setting,
  dataDir: string,
  sensors: number,
  seconds: number,
): Promise<string> {
  await using part = await startPart('gateway', ['--data-dir', dataDir, '--log-level', 'warn', ...flags]);
  const clients = await Promise.all(
    Array.from({ length: sensors }, () => connectAsync(`mqtt://127.0.0.1:${part.port('mqtt')}`)),
  );
  await load(clients, 5); // tables, series and pages are new only once
  const before = writtenBytes(part.pid);
  const received = await load(clients, seconds);
  const written = writtenBytes(part.pid) - before;
  await Promise.all(clients.map((client) => client.endAsync(true)));
  const perDay = (written / seconds) * 86_400;
  const cells = [
    (written / received).toFixed(1).padStart(12),
    (written / (sensors * seconds)).toFixed(0).padStart(13),
    (perDay / 1e6).toFixed(0).padStart(9),
    ((cardBytes * cycles) / perDay / 365).toFixed(1).padStart(24),
  ];
  return `  ${name.padEnd(28)}${cells.join('')}`;
}

/** Each sensor publishes once a second, at its own moment of it. Returns the bytes of topics and payloads. */
async function load(clients: readonly MqttClient[], seconds: number): Promise<number> {
  let bytes = 0;
  await Promise.all(
    clients.map(async (client, sensor) => {
      const topic = `plant/line${sensor % 5}/sensor${sensor}/temperature`;
      const start = performance.now() + (sensor / clients.length) * 1000;
      for (let second = 0; second < seconds; second++) {
        await new Promise((resolve) =>
          setTimeout(resolve, Math.max(0, start + second * 1000 - performance.now())),
        );
        const payload = (20 + Math.sin(second / 60 + sensor) * 5).toFixed(2);
        await client.publishAsync(topic, payload, { qos: 1 });
        bytes += topic.length + payload.length;
      }
    }),
  );
  return bytes;
}

const writtenBytes = (pid: number): number =>
  Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))?.[1]);
