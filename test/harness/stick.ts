import { execFileSync } from 'node:child_process';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from './programs.ts';

/** A folder that behaves as a stick does. */
export interface TestStick extends Disposable {
  readonly path: string;
  /** `exFAT` where this machine can mount one; else an ordinary folder. */
  readonly kind: 'exFAT' | 'folder';
}

/** A stick below a folder: a real exFAT file system where its tools and a loop device are there. */
export function makeStick(folder: string, name: string): TestStick {
  const path = join(folder, name);
  mkdirSync(path);
  const [makeFs, mount, unmount, loop] = ['mkfs.exfat', 'mount.exfat-fuse', 'umount', 'losetup'].map(
    findProgram,
  );
  const plain = { path, kind: 'folder', [Symbol.dispose]: () => undefined } as const;
  if (!makeFs || !mount || !unmount || !loop) return plain;
  const image = `${path}.img`;
  const quiet = { stdio: 'pipe' } as const;
  let device: string | undefined;
  try {
    writeFileSync(image, '');
    truncateSync(image, 128 * 1024 * 1024);
    execFileSync(makeFs, [image], quiet);
    device = execFileSync(loop, ['-f', '--show', image], quiet).toString().trim();
    execFileSync(mount, ['-o', 'rw', device, path], quiet);
  } catch {
    if (device) execFileSync(loop, ['-d', device], quiet);
    return plain; // no right to mount here
  }
  const used = device;
  return {
    path,
    kind: 'exFAT',
    [Symbol.dispose]: () => {
      execFileSync(unmount, [path], quiet);
      execFileSync(loop, ['-d', used], quiet);
    },
  };
}
