import { open, rename, rm, stat } from 'node:fs/promises';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { TokenBucket } from '../../lake/base/token-bucket.ts';

export interface DownloadOptions {
  readonly url: string;
  /** Where the file goes; what is there of it already, as `path.part`, is not fetched again. */
  readonly path: string;
  /** The budget that shipments keep, too. */
  readonly bucket: TokenBucket;
  readonly bytesMax: number;
  readonly signal?: AbortSignal;
}

/** Behind shipments: measurements go first. */
const rank = 2;

/**
 * Fetches a file, goes on where an earlier try was cut off (HTTP Range), and keeps to the budget. Throws FirnError
 * `unavailable` when the connection ends early: what came is kept for the next try.
 */
export async function download({ url, path, bucket, bytesMax, signal }: DownloadOptions): Promise<void> {
  const part = `${path}.part`;
  const have = await stat(part).then(
    ({ size }) => size,
    () => 0,
  );
  const response = await fetch(url, {
    headers: have > 0 ? { range: `bytes=${have}-` } : {},
    signal: signal ?? null,
  }).catch((error: unknown) => {
    throw brokenOff(url, error);
  });
  if (response.status === 416) return finish(part, path); // all of it is there
  if (!response.ok || response.body === null)
    throw failed(url, `HTTP ${response.status}`, response.status >= 500 || response.status === 429);
  const isRest = response.status === 206;
  if (!isRest) await rm(part, { force: true });
  const expected = Number(response.headers.get('content-length') ?? Number.NaN);
  await using file = await open(part, 'a');
  let bytes = 0;
  for await (const chunk of chunksOf(response.body, url)) {
    bytes += chunk.byteLength;
    if ((isRest ? have : 0) + bytes > bytesMax)
      throw new FirnError({
        ...{ code: 'limit', operation: 'download an update', subject: 'update size' },
        message: `the file at ${url} has more than ${bytesMax} bytes`,
        hint: 'an update fits into a slot; is this one?',
      });
    await bucket.take(chunk.byteLength, { rank, ...(signal && { signal }) });
    await file.write(chunk);
  }
  if (Number.isFinite(expected) && bytes < expected)
    throw failed(url, `the connection ended after ${bytes} bytes`, true);
  await file.sync();
  await finish(part, path);
}

async function* chunksOf(body: ReadableStream<Uint8Array>, url: string): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    throw brokenOff(url, error);
  }
}

const finish = (part: string, path: string): Promise<void> => rename(part, path);

/** `fetch` says why in the cause of what it throws. */
const brokenOff = (url: string, error: unknown): FirnError =>
  failed(url, messageOf(error instanceof Error && error.cause ? error.cause : error), true);

const failed = (url: string, why: string, mayWork: boolean): FirnError =>
  new FirnError({
    ...{ code: mayWork ? 'unavailable' : 'not-found', operation: 'download an update', subject: url },
    message: `${url}: ${why}`,
    hint: 'what was fetched is kept; the same command goes on from there',
  });
