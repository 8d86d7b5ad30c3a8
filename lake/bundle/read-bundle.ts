import { createHash } from 'node:crypto';
import { lstat, open, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FirnError, messageOf } from '../base/errors.ts';
import { gatewayId, siteId, tenantId } from '../model/ids.ts';
import { parseSegmentName, segmentKey } from '../model/keys.ts';
import { type ManifestSegment, parseManifest, type ShipmentManifest } from '../model/manifest.ts';
import { hashFile } from '../parquet/durable-file.ts';
import {
  type BundleIndex,
  bundleLimits,
  indexName,
  manifestFile,
  parseBundleFolder,
  parseBundleIndex,
  segmentFile,
  signatureName,
} from './bundle-index.ts';
import { type PublicKey, signatureBytes } from './signing-key.ts';

// A stick has been in anybody's hands. Nothing is believed before the signature is checked, and nothing is taken before
// everything was checked: the signed index states size and hash of each file, so what it does not vouch for is not read.

/** The key that must have signed the bundles of a gateway; throws FirnError `denied` when there is none. */
export type KeyOf = (tenant: string, gateway: string) => PublicKey;

export interface VerifiedBundle {
  readonly path: string;
  readonly index: BundleIndex;
  /** In order of number. */
  readonly shipments: readonly {
    readonly manifest: ShipmentManifest;
    /** Its exact bytes. */
    readonly body: Uint8Array;
  }[];
  /** In the index's order. */
  readonly segments: readonly { readonly path: string; readonly segment: BundleIndex['segments'][number] }[];
}

/** The names of all folders on a stick that are bundles, or were to become some; in order of their numbers. */
export async function listBundles(stickPath: string): Promise<string[]> {
  const names: string[] = [];
  for (const entry of await readdir(stickPath, { withFileTypes: true })) {
    if (!entry.isDirectory()) continue;
    const named = parseBundleFolder(entry.name) !== undefined;
    if (named || (await isFile(join(stickPath, entry.name, indexName)))) names.push(entry.name);
  }
  return names.sort(inOrderOfNumbers);
}

function inOrderOfNumbers(a: string, b: string): number {
  const [left, right] = [parseBundleFolder(a), parseBundleFolder(b)];
  const by = left && right ? left.epoch - right.epoch || left.first - right.first : 0;
  return by || (a < b ? -1 : 1);
}

/** The index of a bundle whose signature is right. Throws FirnError `corrupt`, `invalid` or `denied`. */
async function readSignedIndex(path: string, keyOf: KeyOf): Promise<BundleIndex> {
  const bytes = await readWhole(path, indexName, bundleLimits.indexBytesMax);
  const signature = await readWhole(path, signatureName, signatureBytes);
  const index = parseBundleIndex(bytes.toString());
  const [tenant, gateway] = [tenantId(index.tenant), gatewayId(index.gateway)];
  const key = keyOf(tenant, gateway);
  if (key.verify(bytes, signature)) return index;
  throw new FirnError({
    code: 'denied',
    operation: 'verify bundle',
    subject: path,
    message:
      index.signer === key.fingerprint
        ? `its signature is wrong: ${indexName} or ${signatureName} was changed`
        : `it is signed by the key ${index.signer}, not by ${key.fingerprint}, which is trusted for gateway ${gateway}`,
  });
}

/** Checks everything. Throws FirnError `corrupt` (damaged or incomplete), `invalid` or `denied`; takes nothing. */
export async function readBundle(path: string, keyOf: KeyOf): Promise<VerifiedBundle> {
  const index = await readSignedIndex(path, keyOf);
  const bodies: Buffer[] = [];
  for (const [number, file] of index.manifests.entries()) {
    const body = await readWhole(path, manifestFile(number), file.bytes);
    const sha256 = createHash('sha256').update(body).digest('hex');
    if (body.byteLength !== file.bytes || sha256 !== file.sha256) throw damaged(manifestFile(number));
    bodies.push(body);
  }
  const shipments = bodies.map((body, number) => ({
    manifest: parseManifest(body.toString(), manifestFile(number)),
    body,
  }));
  checkShipments(index, shipments);
  const segments = index.segments.map((segment, number) => ({
    segment,
    path: join(path, segmentFile(number)),
  }));
  for (const [number, { segment }] of segments.entries()) {
    const name = segmentFile(number);
    const found = await orIncomplete(path, name, async (at) => {
      const { size } = await lstatFile(at);
      return size === segment.bytes ? hashFile(at) : { bytes: size, sha256: '' };
    });
    if (found.bytes !== segment.bytes || found.sha256 !== segment.sha256) throw damaged(name);
  }
  return { path, index, shipments, segments };
}

/** Manifests must be the index's own, and name its segments and no others, each once, below the gateway's prefix. */
function checkShipments(index: BundleIndex, shipments: VerifiedBundle['shipments']): void {
  const [tenant, gateway] = [tenantId(index.tenant), gatewayId(index.gateway)];
  const byKey = new Map(index.segments.map((segment) => [segment.key, segment]));
  if (byKey.size !== index.segments.length) throw foreign('a segment is listed twice');
  shipments.forEach(({ manifest }, at) => {
    const expected = { tenant, gateway, epoch: index.epoch, number: index.first + at };
    for (const [field, value] of Object.entries(expected)) {
      const said = manifest[field as keyof typeof expected];
      if (said !== value)
        throw foreign(
          `${manifestFile(at)} says ${field} ${JSON.stringify(said)}, not ${JSON.stringify(value)}`,
        );
    }
    siteId(manifest.site);
    for (const segment of manifest.segments) {
      checkKeyOf(segment, segmentKey(tenant, gateway, segment.signal, ''));
      const listed = byKey.get(segment.key);
      if (listed?.bytes !== segment.bytes || listed.sha256 !== segment.sha256)
        throw foreign(`${manifestFile(at)} names ${segment.key}, which is not in the bundle like that`);
      byKey.delete(segment.key);
    }
  });
  const [left] = byKey.keys();
  if (left !== undefined) throw foreign(`no manifest names ${left}`);
}

function checkKeyOf({ key }: ManifestSegment, prefix: string): void {
  if (!key.startsWith(prefix) || parseSegmentName(key.slice(prefix.length)) === undefined)
    throw foreign(`${JSON.stringify(key)} is not a segment below ${prefix}`);
}

async function isFile(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined))?.isFile() ?? false;
}

async function lstatFile(path: string): Promise<{ readonly size: number }> {
  const info = await lstat(path);
  if (!info.isFile()) throw new Error('it is not a file');
  return info;
}

/** A file of at most `bytesMax` bytes; more is refused unread. */
function readWhole(folder: string, name: string, bytesMax: number): Promise<Buffer> {
  return orIncomplete(folder, name, async (path) => {
    const { size } = await lstatFile(path);
    if (size > bytesMax) throw new Error(`it has ${size} bytes, more than ${bytesMax}`);
    return readFile(path);
  });
}

async function orIncomplete<T>(folder: string, name: string, read: (path: string) => Promise<T>): Promise<T> {
  try {
    return await read(join(folder, name));
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new FirnError({
      code: 'corrupt',
      operation: 'read bundle',
      subject: name,
      message: missing
        ? `it is incomplete: ${name} is missing`
        : `${name} can't be read: ${messageOf(cause)}`,
      hint: 'export it again; a stick must not be pulled out before firn has ended',
      cause,
    });
  }
}

/** A segment's bytes, once more; throws FirnError `corrupt` when they are not what was verified. */
export async function copySegment(
  { path, segment }: VerifiedBundle['segments'][number],
  targetPath: string,
): Promise<void> {
  const [from, to] = await Promise.all([open(path, 'r'), open(targetPath, 'w')]);
  try {
    const hash = createHash('sha256');
    let bytes = 0;
    for await (const chunk of from.createReadStream({ autoClose: false, highWaterMark: 1024 * 1024 })) {
      hash.update(chunk as Buffer);
      bytes += (chunk as Buffer).byteLength;
      await to.writeFile(chunk as Buffer);
    }
    if (bytes !== segment.bytes || hash.digest('hex') !== segment.sha256) throw damaged(path);
  } finally {
    await Promise.all([from.close(), to.close()]);
  }
}

function damaged(name: string): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'verify bundle',
    subject: name,
    message: `it is damaged: ${name} is not what the index states`,
    hint: 'export it again, to another stick if this one keeps failing',
  });
}

function foreign(message: string): FirnError {
  return new FirnError({ code: 'invalid', operation: 'verify bundle', subject: indexName, message });
}
