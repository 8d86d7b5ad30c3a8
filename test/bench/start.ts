import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { encodeBatch } from '../../gateway/wal/batch-codec.ts';
import { batchCrc } from '../../gateway/wal/batch-crc.ts';
import { startPart } from '../harness/firn.ts';
import { peakMemoryBytes } from '../harness/process.ts';
import { writeSamples } from '../harness/write-samples.ts';
import { readFlags } from './flags.ts';

// How soon a gateway accepts data after its start, by how much waits in its log: the process is started as a user starts
// it, and the time runs until a sample is acknowledged, which is then on disk. The backlog is of real rows.

const MEBIBYTE = 1024 * 1024;
const rowsOfBatch = 40_000;

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    gibibytes: { type: 'string', default: '5', about: 'in the log that a gateway starts with' },
    seconds: { type: 'string', default: '20', about: 'of load before the start' },
  });
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-'));
  const path = join(folder, 'wal.db');
  const seconds = Number(values.seconds);
  console.log(`\n  log                      accepts after   peak MiB within ${seconds} s`);
  try {
    await measure(folder, 'new', 0);
    await measure(folder, 'empty', seconds);
    fill(path, Number(values.gibibytes) * 1024);
    await sync(path);
    await measure(folder, `${(statSync(path).size / 1024 ** 3).toFixed(1)} GiB`, seconds);
    const file = await open(path, 'r+');
    await file.write(new Uint8Array(100), 0, 100, 0);
    await file.close();
    await measure(folder, 'the same, damaged', seconds);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(folder: string, name: string, seconds: number): Promise<void> {
  const start = performance.now();
  await using part = await startPart('gateway', ['--data-dir', folder, '--log-level', 'silent']);
  await writeSamples(`http://127.0.0.1:${part.port('gatewayHttp')}`, 'started', [[Date.now(), 1]]);
  const accepted = (performance.now() - start) / 1000;
  await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
  const peak = (peakMemoryBytes(part.pid) / MEBIBYTE).toFixed(0);
  console.log(`  ${name.padEnd(24)}${`${accepted.toFixed(2)} s`.padStart(14)}${peak.padStart(11)}`);
  // As a power cut leaves it.
  process.kill(part.pid, 'SIGKILL');
}

/** Else the first commit of the gateway would wait for what the benchmark has written. */
async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  await file.sync();
  await file.close();
}

/** Adds batches as a gateway stores them, received an hour ago, until the log is so large. */
function fill(path: string, mebibytes: number): void {
  const db = new Database(path);
  try {
    db.pragma('synchronous = OFF');
    const boot = db.prepare<[], number>('SELECT max(id) FROM boot').pluck().get() ?? 1;
    const first =
      (db.prepare<[], number | null>('SELECT max(seq) FROM batch').pluck().get() ?? 1_000_000) + 1;
    const id = db.prepare<[], bigint>('SELECT id FROM series LIMIT 1').safeIntegers().pluck().get() ?? 0n;
    const insert = db.prepare(
      `INSERT INTO batch (seq, signal, rows, received_us, mono_us, boot, crc, payload)
       VALUES (@seq, @signal, @rows, @receivedUs, @monoUs, @boot, @crc, @payload)`,
    );
    const hourAgoUs = (Date.now() - 3_600_000) * 1000;
    for (let seq = first, bytes = 0; bytes < mebibytes * MEBIBYTE; seq++) {
      const payload = encodeBatch({
        ...{ signal: 'metrics', rows: rowsOfBatch, series: [], metadata: [] },
        seriesId: new BigInt64Array(rowsOfBatch).fill(id),
        timestampUs: BigInt64Array.from({ length: rowsOfBatch }, (_, row) => BigInt(hourAgoUs + seq + row)),
        value: Float64Array.from({ length: rowsOfBatch }, (_, row) => row),
      });
      const times = { receivedUs: hourAgoUs + seq, monoUs: seq };
      const batch = { seq, signal: 'metrics', rows: rowsOfBatch, ...times, boot, payload };
      insert.run({ ...batch, crc: batchCrc(batch) });
      bytes += payload.byteLength;
    }
  } finally {
    db.close();
  }
}
