import { FirnError } from '../base/errors.ts';
import {
  type BundleSegment,
  bundleFolder,
  bundleFolders,
  indexName,
  manifestFile,
  segmentFile,
  signatureName,
} from './bundle-index.ts';
import type { BundleDraft } from './draft-bundle.ts';
import type { Stick } from './stick.ts';

/** A stick needs so much more than the files: folders, and entries that grow. */
const spaceReserveBytes = 1024 * 1024;
/** The index, the signature, and the folders themselves. */
const filesBesides = 5;

/** What a bundle takes of a stick, on which every file fills whole blocks. */
export function spaceNeededBytes({ index, indexText }: BundleDraft, blockBytes: number): number {
  const files = [...index.manifests, ...index.segments].map(({ bytes }) => bytes);
  const blocks = [...files, Buffer.byteLength(indexText)].map((bytes) => Math.ceil(bytes / blockBytes));
  return (blocks.reduce((sum, each) => sum + each, 0) + filesBesides) * blockBytes + spaceReserveBytes;
}

/**
 * Writes a bundle; returns its folder's name. Whatever stands under that name is replaced. The index appears last, when
 * all else is on the stick: a bundle is either whole or has no index. Throws FirnError `corrupt` when a segment's bytes
 * are not those that its manifest states; `subject` is its key.
 */
export async function writeBundle(
  stick: Stick,
  draft: BundleDraft,
  readSegment: (segment: BundleSegment) => AsyncIterable<Uint8Array>,
): Promise<string> {
  const { index, indexText, signature, manifests } = draft;
  const folder = bundleFolder(index);
  const at = (name: string): string => `${folder}/${name}`;
  await stick.remove(folder);
  for (const name of bundleFolders) await stick.makeFolder(at(name));
  for (const [number, text] of manifests.entries())
    await stick.write(at(manifestFile(number)), [Buffer.from(text)]);
  for (const [number, segment] of index.segments.entries()) {
    const written = await stick.write(at(segmentFile(number)), readSegment(segment));
    if (written.bytes !== segment.bytes || written.sha256 !== segment.sha256) throw damaged(segment);
  }
  for (const name of bundleFolders) await stick.syncFolder(at(name));
  await stick.write(at(signatureName), [signature]);
  const temporary = at('bundle.tmp');
  await stick.write(temporary, [Buffer.from(indexText)]);
  await stick.syncFolder(folder);
  await stick.rename(temporary, at(indexName));
  await stick.syncFolder(folder);
  await stick.syncFolder('.');
  return folder;
}

function damaged({ key }: BundleSegment): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'write bundle',
    subject: key,
    message: `segment ${key} can't be put on the stick: its bytes are not those that its manifest states`,
    hint: 'check the disk of this gateway',
  });
}
