import {
  closeSync,
  copyFileSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { architectures } from '../../firmware-images/build/architectures.ts';
import { makeBundle } from '../../firmware-images/build/bundle.ts';
import { trialKeys } from '../../firmware-images/build/keys.ts';
import { execute } from './device.ts';
import type { Context } from './main.ts';

// Bundles to be refused or to fail, made of the slot that was built: files in it are exchanged by debugfs, nothing is mounted.

/** How a new version is broken. */
export type Fault = 'none' | 'unhealthy' | 'does not start';

export async function bundleOf(
  context: Context,
  version: string,
  fault: Fault,
  keysFolder?: string,
): Promise<string> {
  const { architecture, built, work } = context;
  const slot = join(work, 'slot.ext4');
  const file = join(work, 'exchanged');
  await execute('cp', ['--sparse=always', join(built, 'root.ext4'), slot]);
  const exchange = async (path: string, text: string): Promise<void> => {
    writeFileSync(file, text);
    await execute('debugfs', ['-w', '-R', `rm ${path}`, slot]);
    await execute('debugfs', ['-w', '-R', `write ${file} ${path}`, slot]);
    await execute('debugfs', ['-w', '-R', `set_inode_field ${path} mode 0100755`, slot]);
  };
  await exchange('/etc/firn-release', JSON.stringify({ version, architecture }));
  if (fault === 'unhealthy')
    await exchange('/opt/firn/gateway/main.ts', 'throw new Error("this version is broken");\n');
  if (fault === 'does not start') await exchange('/usr/lib/systemd/systemd', 'this is no program\n');
  const bundle = join(work, `${version}.raucb`);
  const keys = await trialKeys(keysFolder ?? join(built, '..', 'trial-keys'));
  await makeBundle(
    { architecture: architectures[architecture], version, keys, slot, work: join(work, 'bundle') },
    bundle,
  );
  rmSync(slot);
  return bundle;
}

/** One bit in the middle is other than it was. */
export function tampered(bundle: string, path: string): string {
  copyFileSync(bundle, path);
  const file = openSync(path, 'r+');
  const at = Math.floor(statSync(path).size / 2);
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  writeSync(file, Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, at);
  closeSync(file);
  return path;
}

export function truncated(bundle: string, path: string): string {
  copyFileSync(bundle, path);
  truncateSync(path, Math.floor(statSync(path).size / 2));
  return path;
}

/** A USB stick with one bundle and, if asked for, the wish for a support bundle. */
export async function stickWith(files: readonly string[], stick: string): Promise<string> {
  rmSync(stick, { force: true });
  await execute('mkfs.vfat', ['-F', '32', '-n', 'FIRN-STICK', '-C', stick, String(640 * 1024)]);
  for (const file of files) await execute('mcopy', ['-i', stick, file, '::']);
  return stick;
}

export async function stickResult(stick: string): Promise<string> {
  return (await execute('mtype', ['-i', stick, '::firn-result.txt'])).stdout;
}
