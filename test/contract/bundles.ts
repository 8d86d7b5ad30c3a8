import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { BundleSegment } from '../../lake/bundle/bundle-index.ts';
import { type BundleDraft, draftBundle } from '../../lake/bundle/draft-bundle.ts';
import { loadOrMakeSigner, type Signer } from '../../lake/bundle/signing-key.ts';
import { openStick, type Stick } from '../../lake/bundle/stick.ts';
import { writeBundle } from '../../lake/bundle/write-bundle.ts';
import { printManifest } from '../../lake/model/manifest.ts';
import { tenant } from './lake-fixtures.ts';
import type { MadeShipment } from './shipments.ts';

// Bundles of made shipments on a stick that is a temporary folder.

export interface StickFixture extends AsyncDisposable {
  readonly path: string;
  readonly stick: Stick;
  /** Of the gateway. */
  readonly signer: Signer;
  /** Files on the stick, relative. */
  files(): Promise<string[]>;
}

export async function stickFixture(): Promise<StickFixture> {
  const folder = await mkdtemp(join(tmpdir(), 'firn-stick-'));
  const path = join(folder, 'stick');
  await (await openStick(folder)).makeFolder('stick');
  return {
    path,
    stick: await openStick(path),
    signer: await loadOrMakeSigner(join(folder, 'gateway', 'ship-key.pem')),
    files: async () => {
      const entries = await readdir(path, { recursive: true, withFileTypes: true });
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => relative(path, join(entry.parentPath, entry.name)))
        .sort();
    },
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** A draft of as many of these shipments as fit. */
export function draftOf(
  shipments: readonly MadeShipment[],
  signer: Signer,
  bytesMax = 1e9,
  gateway = 'gw-1',
): BundleDraft {
  const numbered = shipments.map(({ manifest }) => ({
    epoch: manifest.epoch,
    number: manifest.number,
    manifest: printManifest(manifest),
  }));
  const ids = { tenant: shipments[0]?.manifest.tenant ?? tenant, site: 'plant', gateway };
  const draft = draftBundle(numbered, { ...ids, signer, createdUs: 1, bytesMax });
  if (!draft) throw new Error('no shipments');
  return draft;
}

/** Reads a segment of made shipments. */
export const segmentsOf = (shipments: readonly MadeShipment[]) => {
  const bodies = new Map(shipments.flatMap(({ uploads }) => uploads).map(({ key, body }) => [key, body]));
  return async function* ({ key }: Pick<BundleSegment, 'key'>): AsyncGenerator<Uint8Array> {
    const body = bodies.get(key) ?? Buffer.alloc(0);
    const middle = body.byteLength >> 1;
    yield body.subarray(0, middle);
    yield body.subarray(middle);
  };
};

/** Writes these shipments as one bundle; returns its folder's name. */
export async function putBundle(
  { stick, signer }: Pick<StickFixture, 'stick' | 'signer'>,
  shipments: readonly MadeShipment[],
): Promise<string> {
  const gateway = shipments[0]?.manifest.gateway ?? '';
  return writeBundle(stick, draftOf(shipments, signer, 1e9, gateway), segmentsOf(shipments));
}

/** The bytes of all files of a folder by name. */
export async function contentsOf(path: string): Promise<Map<string, Buffer>> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const read = await Promise.all(
    files.map(async (file) => [relative(path, file), await readFile(file)] as const),
  );
  return new Map(read);
}
