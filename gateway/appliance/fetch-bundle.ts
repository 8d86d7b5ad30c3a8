import { createHash } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../lake/base/clock.ts';
import { createTokenBucket } from '../../lake/base/token-bucket.ts';
import { download } from './download.ts';
import type { Places } from './places.ts';

const bytesMax = 2 * 1024 ** 3;

/** Fetches a bundle, or the rest of it, and gives its file. Other bundles that lie there go first. */
export async function fetchBundle(url: string, places: Places, bytesPerSecondMax: number): Promise<string> {
  const name = `${createHash('sha256').update(url).digest('hex').slice(0, 16)}.raucb`;
  for (const other of readdirSync(places.updates))
    if (/\.raucb(\.part)?$/.test(other) && !other.startsWith(name)) rmSync(join(places.updates, other));
  const path = join(places.updates, name);
  const limits = bytesPerSecondMax > 0 ? { bytesPerSecond: bytesPerSecondMax } : {};
  await download({ url, path, bucket: createTokenBucket(systemClock, limits), bytesMax });
  return path;
}
