import { constants, gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { compress } from 'snappyjs';
import { remoteWriteLimits } from '../../lake/receive/remote-write/limits.ts';
import { receiveRemoteWrite } from '../../lake/receive/remote-write/receive.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { decodeSnappy } from '../../lake/receive/snappy.ts';
import { readFlags } from './flags.ts';
import { linesFrom } from './logs.ts';
import { remoteWriteBodies } from './remote-write-load.ts';

// What single steps of receiving cost alone, in this process: no figure of `receive` and `receive-logs` can be better than
// the steps that it is made of.

export async function main(argv: readonly string[]): Promise<void> {
  readFlags(argv, {});
  const series = 10_000;
  const bodies = remoteWriteBodies({
    ...{ series, samplesPerSeries: 20, seriesPerRequest: 2000, startMs: 1_760_000_000_000, stepMs: 15_000 },
  });
  const cache = createSeriesCache({ identity: [['site', 'plant']] });
  const context = { cache, limits: remoteWriteLimits };
  const headers = { contentType: undefined, contentEncoding: 'snappy' };
  const millions = (series * 20) / 1e6;
  const bytesMax = remoteWriteLimits.decodedBytesMax;
  console.log('\nRemote write, CPU seconds per million samples');
  const perMillion = (name: string, work: (body: Uint8Array) => unknown): void =>
    row(name, (cpuSecondsOf(() => bodies.forEach(work)) / millions).toFixed(3));
  perMillion('snappy', (body) => decodeSnappy(body, bytesMax));
  perMillion('snappy, labels to series, samples to columns', (body) =>
    receiveRemoteWrite(headers, body, context),
  );

  const lines = Buffer.from([0, 1, 2, 3].flatMap(linesFrom).join('\n'));
  const zipped = gzipSync(lines);
  const snapped = compress(lines);
  const level = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
  console.log('\nLog lines, MB per CPU second (asked of the whole way: 50)');
  const perSecond = (name: string, work: () => unknown): void =>
    row(name, (lines.byteLength / 1e6 / cpuSecondsOf(work)).toFixed(0));
  perSecond('gunzip', () => gunzipSync(zipped));
  perSecond('snappy', () => decodeSnappy(snapped, bytesMax));
  perSecond('zstd, as segments have it', () => zstdCompressSync(lines, level));
}

const row = (name: string, figure: string): void => console.log(`  ${name.padEnd(48)}${figure.padStart(8)}`);

/** Of one run among those of about a second, after as many to warm up. */
function cpuSecondsOf(work: () => unknown): number {
  const repeat = (seconds: number): number => {
    const start = process.cpuUsage();
    for (let runs = 1; ; runs++) {
      work();
      const { user, system } = process.cpuUsage(start);
      const used = (user + system) / 1e6;
      if (used >= seconds) return used / runs;
    }
  };
  repeat(1);
  return repeat(1);
}
