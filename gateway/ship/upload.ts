import { basename, join } from 'node:path';
import { FirnError } from '../../lake/base/errors.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { manifestKey } from '../../lake/model/keys.ts';
import {
  type ManifestSegment,
  parseManifest,
  printManifest,
  type ShipmentManifest,
} from '../../lake/model/manifest.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import type { SealedShipment } from './backlog.ts';

// One shipment on its way: segments first, in any order, then the manifest that commits them. Everything is put under
// a key that follows from its content's place, so that doing it again changes nothing.

export interface Outgoing {
  readonly manifest: ShipmentManifest;
  /** The manifest's bytes as text. */
  readonly text: string;
  /** Segments that are left out. */
  readonly lost: readonly ManifestSegment[];
}

/** The shipment with the bytes that were recorded when it was sealed. */
export function asSealed({ number, manifest: text }: SealedShipment): Outgoing {
  return { manifest: parseManifest(text, `shipment ${number}`), text, lost: [] };
}

/** Where the local file of a segment is: the sealer keeps the name of the key. */
const localPath = (dataDir: string, { signal, key }: ManifestSegment): string =>
  join(dataDir, 'segments', signal, basename(key));

/**
 * Puts a segment, if its file is what the manifest says; else throws FirnError `corrupt`, and nothing is put. Errors of
 * the disk and of the store are thrown as they are.
 */
export async function uploadSegment(
  store: ObjectStore,
  dataDir: string,
  segment: ManifestSegment,
  signal: AbortSignal,
): Promise<void> {
  const path = localPath(dataDir, segment);
  const why = await whyDamaged(path, segment);
  if (why !== undefined) throw damaged(path, why);
  await store.putFile(segment.key, path, { signal, contentType: 'application/vnd.apache.parquet' });
}

export async function uploadManifest(
  store: ObjectStore,
  outgoing: Outgoing,
  signal: AbortSignal,
): Promise<void> {
  const { tenant, gateway, epoch, number } = outgoing.manifest;
  const key = manifestKey(tenantId(tenant), gateway, epoch, number);
  await store.put(key, Buffer.from(outgoing.text), { signal, contentType: 'application/json' });
}

/**
 * The shipment without the segments whose files are gone or damaged. The last resort: a manifest must never name bytes
 * that are not there, and numbers must have no hole, so without it one bad file would hold up all later ones.
 */
export async function withoutDamaged(dataDir: string, shipment: SealedShipment): Promise<Outgoing> {
  const sealed = asSealed(shipment);
  const intact: ManifestSegment[] = [];
  const lost: ManifestSegment[] = [];
  for (const segment of sealed.manifest.segments) {
    const why = await whyDamaged(localPath(dataDir, segment), segment);
    (why === undefined ? intact : lost).push(segment);
  }
  if (lost.length === 0) return sealed;
  const manifest = { ...sealed.manifest, segments: intact };
  return { manifest, text: printManifest(manifest), lost };
}

async function whyDamaged(path: string, { bytes, sha256 }: ManifestSegment): Promise<string | undefined> {
  try {
    const found = await hashFile(path);
    if (found.bytes !== bytes) return `it has ${found.bytes} bytes, its manifest says ${bytes}`;
    return found.sha256 === sha256 ? undefined : 'its checksum is not that of its manifest';
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
