import { link, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Architecture } from './architectures.ts';
import type { SigningKeys } from './keys.ts';
import { run } from './run.ts';

export interface BundleRecipe {
  readonly architecture: Architecture;
  readonly version: string;
  readonly keys: SigningKeys;
  /** The slot's file system. */
  readonly slot: string;
  /** Folder for what lies between; it is removed. */
  readonly work: string;
}

/** A signed update, in RAUC's verity format: each block is verified as it is read. */
export async function makeBundle(
  { architecture, version, keys, slot, work }: BundleRecipe,
  bundle: string,
): Promise<void> {
  await rm(work, { recursive: true, force: true });
  await rm(bundle, { force: true });
  await mkdir(work, { recursive: true });
  await link(slot, join(work, 'root.ext4'));
  const manifest = [
    `[update]\ncompatible=firn-${architecture.name}\nversion=${version}\n\n`,
    '[bundle]\nformat=verity\n\n',
    '[image.rootfs]\nfilename=root.ext4\n',
  ];
  await writeFile(join(work, 'manifest.raucm'), manifest.join(''));
  const signing = [`--cert=${keys.certificate}`, `--key=${keys.key}`, `--keyring=${keys.authority}`];
  const squashing = '--mksquashfs-args=-comp zstd -Xcompression-level 9';
  await run('rauc', [...signing, squashing, 'bundle', work, bundle]);
  await rm(work, { recursive: true });
}
