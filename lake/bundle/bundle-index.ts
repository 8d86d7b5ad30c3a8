import { z } from 'zod';
import { FirnError } from '../base/errors.ts';

/**
 * `bundle.json`: what a bundle on a stick holds. Signed as it stands, and written last, so that a bundle without it is
 * one whose stick was pulled out. It names files by number only: nothing in it can point out of its folder.
 *
 * The folder, all names made for FAT32:
 * ```
 * firn_<tenant>_<gateway>_<epoch>_<first>-<last>/
 *   manifests/000001.json …    one a shipment, in order of number: the bytes that are put into the inbox
 *   segments/000001.parquet …  in any order
 *   bundle.sig                 Ed25519 signature over the bytes of bundle.json
 *   bundle.json
 * ```
 */
export type BundleIndex = z.infer<typeof indexSchema>;
export type BundleSegment = BundleIndex['segments'][number];

export const indexName = 'bundle.json';
export const signatureName = 'bundle.sig';
export const bundleFolders = ['manifests', 'segments'] as const;

export const bundleLimits = {
  /** Segments and manifests of one bundle. A folder of FAT32 holds 65,534 entries, and a long name takes several. */
  filesMax: 4096,
  /** All manifests of one bundle: they are held in memory. */
  manifestsBytesMax: 16 * 1024 * 1024,
  /** A larger index is refused unread. */
  indexBytesMax: 4 * 1024 * 1024,
  /** FAT32 holds no larger file. */
  fileBytesMax: 2 ** 32 - 1,
} as const;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const bytes = z.number().int().positive().max(bundleLimits.fileBytesMax);
const count = z.number().int().positive();

const indexSchema = z.strictObject({
  kind: z.literal('firn-bundle'),
  format: z.literal(1),
  tenant: z.string(),
  site: z.string(),
  gateway: z.string(),
  epoch: count,
  /** Numbers of its shipments: first to last, without holes. */
  first: count,
  last: count,
  createdUs: z.number().int(),
  /** Fingerprint of the key that signed. */
  signer: z.string(),
  /** Of shipment first, first + 1, …: files manifests/000001.json, … */
  manifests: z.array(z.strictObject({ bytes, sha256 })),
  /** Files segments/000001.parquet, … `key`: where each goes in the object store. */
  segments: z.array(z.strictObject({ key: z.string(), bytes, sha256 })),
});

const fileNumber = (index: number): string => String(index + 1).padStart(6, '0');
/** `index` counts from 0. */
export const manifestFile = (index: number): string => `manifests/${fileNumber(index)}.json`;
export const segmentFile = (index: number): string => `segments/${fileNumber(index)}.parquet`;

/** Ids hold no underscore, so no two ranges have the same name. */
export function bundleFolder({ tenant, gateway, epoch, first, last }: BundleIndex): string {
  return `firn_${tenant}_${gateway}_${epoch}_${first}-${last}`;
}

const folderPattern = /^firn_([a-z0-9-]+)_([a-z0-9-]+)_(\d{1,16})_(\d{1,16})-(\d{1,16})$/;

/** What a folder's name claims; nothing of it is proven. */
export function parseBundleFolder(
  name: string,
): Pick<BundleIndex, 'tenant' | 'gateway' | 'epoch' | 'first' | 'last'> | undefined {
  const [, tenant, gateway, ...numbers] = folderPattern.exec(name) ?? [];
  const [epoch = 0, first = 0, last = 0] = numbers.map(Number);
  return tenant && gateway ? { tenant, gateway, epoch, first, last } : undefined;
}

export const bundleBytes = ({ manifests, segments }: BundleIndex): number =>
  [...manifests, ...segments].reduce((sum, file) => sum + file.bytes, 0);

/** The bytes of bundle.json; throws FirnError `invalid` when it could not be read again. */
export function printBundleIndex(index: BundleIndex): string {
  const text = `${JSON.stringify(index)}\n`;
  parseBundleIndex(text);
  return text;
}

/** Reads an index from outside; throws FirnError `invalid` that names the field. */
export function parseBundleIndex(text: string): BundleIndex {
  if (Buffer.byteLength(text) > bundleLimits.indexBytesMax)
    throw refused(`it has more than ${bundleLimits.indexBytesMax} bytes (indexBytesMax)`);
  const parsed = indexSchema.safeParse(jsonOf(text));
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw refused(`${issue?.path.join('.') || 'index'}: ${issue?.message ?? 'not valid'}`);
  }
  const { first, last, manifests, segments } = parsed.data;
  if (last - first + 1 !== manifests.length)
    throw refused(`it has ${manifests.length} manifests for shipments ${first} to ${last}`);
  if (manifests.length + segments.length > bundleLimits.filesMax)
    throw refused(`it has more than ${bundleLimits.filesMax} files (filesMax)`);
  if (manifests.reduce((sum, manifest) => sum + manifest.bytes, 0) > bundleLimits.manifestsBytesMax)
    throw refused(`its manifests have more than ${bundleLimits.manifestsBytesMax} bytes (manifestsBytesMax)`);
  return parsed.data;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw refused('it is not JSON');
  }
}

function refused(why: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'read bundle',
    subject: indexName,
    message: `${indexName} is not valid: ${why}`,
  });
}
