import { join } from 'node:path';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { manifestKey } from '../../lake/model/keys.ts';
import { parseManifest } from '../../lake/model/manifest.ts';
import type { ObjectStore, WriteOptions } from '../../lake/object-store/object-store.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import type { ComposedShipment, WaitingSegment } from './backlog.ts';

// Everything is put under a key that follows from its content's place, so that doing it again changes nothing.

/**
 * Puts a segment, if its file is what was recorded; else throws FirnError `corrupt`, and nothing is put. Errors of the
 * disk and of the store are thrown as they are.
 */
export async function uploadSegment(
  store: ObjectStore,
  dataDir: string,
  { path, entry }: WaitingSegment,
  options: WriteOptions,
): Promise<void> {
  const why = await whyDamaged(dataDir, path, entry);
  if (why !== undefined) throw damaged(path, why);
  const file = join(dataDir, path);
  await store.putFile(entry.key, file, { ...options, contentType: 'application/vnd.apache.parquet' });
}

/**
 * Puts a manifest where there is none yet. `foreign`: another one has this number, so somebody else ships under this
 * identity. Where a store does not let itself be read, an object that is there counts as ours until the receipt tells.
 */
export async function uploadManifest(
  store: ObjectStore,
  { number, manifest: text }: ComposedShipment,
  options: WriteOptions,
): Promise<'put' | 'foreign'> {
  const { tenant, gateway, epoch } = parseManifest(text, `shipment ${number}`);
  const key = manifestKey(tenantId(tenant), gateway, epoch, number);
  const body = Buffer.from(text);
  try {
    await store.putIfAbsent(key, body, { ...options, contentType: 'application/json' });
    return 'put';
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error;
  }
  try {
    const found = await store.get(key, options);
    return body.equals(found.body) ? 'put' : 'foreign';
  } catch (error) {
    if (hasCode(error, 'denied')) return 'put';
    throw error;
  }
}

async function whyDamaged(
  dataDir: string,
  path: string,
  { bytes, sha256 }: Pick<WaitingSegment['entry'], 'bytes' | 'sha256'>,
): Promise<string | undefined> {
  try {
    const found = await hashFile(join(dataDir, path));
    if (found.bytes !== bytes) return `it has ${found.bytes} bytes, it was sealed with ${bytes}`;
    return found.sha256 === sha256 ? undefined : 'its checksum is not that of its seal';
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return 'it is missing';
    throw error;
  }
}

function damaged(path: string, why: string): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'ship segment',
    subject: path,
    message: `segment ${path} can't be shipped: ${why}`,
    hint: 'check the disk of this gateway',
  });
}
