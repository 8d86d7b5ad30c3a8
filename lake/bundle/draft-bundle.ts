import { createHash } from 'node:crypto';
import { FirnError } from '../base/errors.ts';
import { parseManifest } from '../model/manifest.ts';
import { type BundleIndex, bundleLimits, printBundleIndex } from './bundle-index.ts';
import type { Signer } from './signing-key.ts';

/** A bundle before it is written: the signed index, and all but the segments' bytes. */
export interface BundleDraft {
  readonly index: BundleIndex;
  /** The exact bytes that are signed. */
  readonly indexText: string;
  readonly signature: Uint8Array;
  /** In order of number, as they are put into the inbox. */
  readonly manifests: readonly string[];
}

/** A shipment that has its number. */
export interface NumberedShipment {
  readonly epoch: number;
  readonly number: number;
  /** The manifest's bytes as text. */
  readonly manifest: string;
}

export interface DraftOptions {
  readonly tenant: string;
  readonly site: string;
  readonly gateway: string;
  readonly signer: Signer;
  readonly createdUs: number;
  /** The bundle ends before it is larger, unless its first shipment alone is. */
  readonly bytesMax: number;
}

/**
 * The first bundle of these shipments (in order): as many as follow one another without a hole and fit. Undefined when
 * there are none. Throws FirnError `limit` when one alone is too much for any bundle.
 */
export function draftBundle(
  shipments: Iterable<NumberedShipment>,
  options: DraftOptions,
): BundleDraft | undefined {
  const { tenant, site, gateway, signer, createdUs, bytesMax } = options;
  const taken: Weighed[] = [];
  const total = { bytes: 0, files: 0, manifestsBytes: 0 };
  for (const shipment of shipments) {
    const before = taken.at(-1)?.shipment;
    if (before && (shipment.epoch !== before.epoch || shipment.number !== before.number + 1)) break;
    const weighed = weigh(shipment);
    total.bytes += weighed.manifest.bytes + weighed.segments.reduce((sum, { bytes }) => sum + bytes, 0);
    total.files += 1 + weighed.segments.length;
    total.manifestsBytes += weighed.manifest.bytes;
    const fits =
      total.files <= bundleLimits.filesMax && total.manifestsBytes <= bundleLimits.manifestsBytesMax;
    if (taken.length > 0 && (!fits || total.bytes > bytesMax)) break;
    if (!fits) throw tooLarge(shipment, 'it has too many files, or its manifest is too large');
    taken.push(weighed);
  }
  const [first, last] = [taken[0]?.shipment, taken.at(-1)?.shipment];
  if (!first || !last) return undefined;
  const indexText = printBundleIndex({
    ...{ kind: 'firn-bundle', format: 1, tenant, site, gateway },
    ...{ epoch: first.epoch, first: first.number, last: last.number, createdUs },
    signer: signer.publicKey.fingerprint,
    manifests: taken.map(({ manifest }) => manifest),
    segments: taken.flatMap(({ segments }) => segments),
  });
  return {
    index: JSON.parse(indexText) as BundleIndex,
    indexText,
    signature: signer.sign(Buffer.from(indexText)),
    manifests: taken.map(({ shipment }) => shipment.manifest),
  };
}

interface Weighed {
  readonly shipment: NumberedShipment;
  readonly manifest: BundleIndex['manifests'][number];
  readonly segments: BundleIndex['segments'];
}

function weigh(shipment: NumberedShipment): Weighed {
  const { segments } = parseManifest(shipment.manifest, `of shipment ${shipment.number}`);
  const large = segments.find((segment) => segment.bytes > bundleLimits.fileBytesMax);
  if (large) throw tooLarge(shipment, `${large.key} is larger than a file on FAT32 can be`);
  const body = Buffer.from(shipment.manifest);
  return {
    shipment,
    manifest: { bytes: body.byteLength, sha256: createHash('sha256').update(body).digest('hex') },
    segments: segments.map(({ key, bytes, sha256 }) => ({ key, bytes, sha256 })),
  };
}

function tooLarge({ number }: NumberedShipment, why: string): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'draft bundle',
    subject: 'bundleLimits',
    message: `shipment ${number} can't be put on a stick: ${why}`,
    hint: 'let it be shipped over the network',
  });
}
