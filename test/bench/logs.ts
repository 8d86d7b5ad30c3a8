import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { compress } from 'snappyjs';
import { encodePush } from '../../lake/receive/loki-push/encode.fixture.ts';
import { protobufOfJson } from '../../lake/receive/otlp/json.ts';
import { startPart } from '../harness/firn.ts';
import { cpuSeconds, threadCpuSeconds } from '../harness/process.ts';
import { readFlags } from './flags.ts';
import { unsealed } from './receive.ts';
import { runRemoteWriteLoad } from './remote-write-load.ts';
import { threadShares } from './thread-shares.ts';

// What log lines cost until they are durable, in megabytes of the lines themselves: Loki push and OTLP, in the formats in
// which they are sent, with and without what becomes of them later.

const linesPerRequest = 5000;
/** Megabytes of raw lines. */
const perCpuSecondAsked = 50;
const startNs = 1_770_000_000_000_000_000n;

export async function main(argv: readonly string[]): Promise<void> {
  const values = readFlags(argv, {
    megabytes: { type: 'string', default: '200', about: 'of raw lines' },
    connections: { type: 'string', default: '2', about: 'that send at once' },
    only: { type: 'string', default: '', about: 'formats whose name has this in it' },
  });
  const bytes = Number(values.megabytes) * 1e6;
  for (const [sealing, flags] of [
    ['rows stay in the log', unsealed],
    ['with sealing', []],
  ] as const) {
    console.log(`\nLog lines until acknowledged, ${sealing}`);
    for (const [name, format] of Object.entries(formats))
      if (name.includes(values.only)) await measure(name, format, bytes, Number(values.connections), flags);
  }
}

interface Format {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly encode: (lines: readonly string[], first: number) => Uint8Array;
}

const timeOf = (index: number): bigint => startNs + BigInt(index) * 1000n;

const formats: Readonly<Record<string, Format>> = {
  'Loki push, protobuf with snappy': {
    path: '/loki/api/v1/push',
    headers: { 'Content-Type': 'application/x-protobuf' },
    encode: (lines, first) =>
      compress(
        encodePush(inStreams(lines, first, (labels, entries) => ({ labels: selector(labels), entries }))),
      ),
  },
  'Loki push, JSON with gzip': {
    path: '/loki/api/v1/push',
    headers: { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' },
    encode: (lines, first) =>
      gzipSync(
        JSON.stringify({
          streams: inStreams(lines, first, (stream, entries) => ({
            stream,
            values: entries.map(([ns, line]) => [String(ns), line]),
          })),
        }),
      ),
  },
  'OTLP, protobuf': {
    path: '/v1/logs',
    headers: { 'Content-Type': 'application/x-protobuf' },
    encode: otlpOf,
  },
  'OTLP, protobuf with gzip': {
    path: '/v1/logs',
    headers: { 'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'gzip' },
    encode: (lines, first) => gzipSync(otlpOf(lines, first)),
  },
};

async function measure(
  name: string,
  { path, headers, encode }: Format,
  bytes: number,
  connections: number,
  flags: readonly string[],
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-'));
  try {
    await using part = await startPart('gateway', [
      ...['--data-dir', folder, '--log-level', 'warn', '--disk-reserve-bytes', '1', ...flags],
    ]);
    const url = `http://127.0.0.1:${part.port('gatewayHttp')}${path}`;
    // The same few bodies again and again: what makes them would be a load of its own.
    const bodies = Array.from({ length: 8 }, (_, index) => encode(linesFrom(index), index * linesPerRequest));
    const lineBytes = linesFrom(0).reduce((sum, line) => sum + line.length, 0);
    const sent = Array.from(
      { length: Math.ceil(bytes / lineBytes) },
      (_, index) => bodies[index % 8] ?? new Uint8Array(),
    );
    await runRemoteWriteLoad(url, sent.slice(0, 40), connections, headers);
    const before = cpuSeconds(part.pid);
    const threadsBefore = threadCpuSeconds(part.pid);
    const seconds = await runRemoteWriteLoad(url, sent, connections, headers);
    const cpu = cpuSeconds(part.pid) - before;
    const megabytes = (sent.length * lineBytes) / 1e6;
    const figures = `${(megabytes / seconds).toFixed(0).padStart(5)} MB/s ${(megabytes / cpu).toFixed(0).padStart(5)} MB per CPU second`;
    const ratio = `${(megabytes / cpu / perCpuSecondAsked).toFixed(2)} of what is asked`;
    console.log(`  ${name.padEnd(34)} ${figures}, ${ratio}`);
    console.log(`    ${threadShares(threadsBefore, threadCpuSeconds(part.pid))}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const levels = ['info', 'warn', 'error'];

export function linesFrom(request: number): string[] {
  return Array.from({ length: linesPerRequest }, (_, index) => {
    const n = request * linesPerRequest + index;
    return (
      `ts=2026-01-31T12:00:00.${n % 1000}Z level=${levels[n % 3]} caller=press.go:${n % 400} ` +
      `msg="order ${n} finished in station ${n % 17}" duration=${(n * 7919) % 1000}ms operator=op-${n % 40}`
    );
  });
}

type Entry = readonly [ns: bigint, line: string];
type StreamLabels = Readonly<Record<string, string>>;

/** Ten streams. */
function inStreams<T>(
  lines: readonly string[],
  first: number,
  of: (labels: StreamLabels, entries: readonly Entry[]) => T,
): T[] {
  const each = lines.length / 10;
  return Array.from({ length: 10 }, (_, stream) => {
    const labels = { app: 'press', station: String(stream), env: 'prod' };
    const entries = lines
      .slice(stream * each, (stream + 1) * each)
      .map((line, index): Entry => [timeOf(first + stream * each + index), line]);
    return of(labels, entries);
  });
}

const selector = (labels: StreamLabels): string =>
  `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${value}"`)
    .join(', ')}}`;

function otlpOf(lines: readonly string[], first: number): Uint8Array {
  const attribute = (key: string, stringValue: string) => ({ key, value: { stringValue } });
  const logRecords = lines.map((line, index) => ({
    timeUnixNano: String(timeOf(first + index)),
    observedTimeUnixNano: String(timeOf(first + index) + 1000n),
    severityNumber: 9,
    severityText: 'INFO',
    body: { stringValue: line },
    attributes: [attribute('order.id', String(index))],
  }));
  const resource = { attributes: [attribute('service.name', 'press'), attribute('host.name', 'h1')] };
  const request = { resourceLogs: [{ resource, scopeLogs: [{ scope: { name: 'belt' }, logRecords }] }] };
  return protobufOfJson('logs', Buffer.from(JSON.stringify(request)));
}
