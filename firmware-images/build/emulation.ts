import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { FirnError } from '../../lake/base/errors.ts';
import type { Architecture } from './architectures.ts';
import { run } from './run.ts';

const binfmt = '/proc/sys/fs/binfmt_misc';

/**
 * Makes programs of the target's processor run here: by themselves, or through QEMU's user emulation, of which the kernel
 * is told where the system has not done so at its start. Throws FirnError where neither can be had.
 */
export async function runForeignPrograms({ name, emulator }: Architecture): Promise<void> {
  const runs = async (): Promise<boolean> =>
    run('arch-test', [name]).then(
      () => true,
      () => false,
    );
  if (await runs()) return;
  const registration = await readFile(`/usr/lib/binfmt.d/${emulator}.conf`, 'utf8').catch(() => undefined);
  if (registration !== undefined) {
    if (!existsSync(`${binfmt}/register`)) await run('mount', ['-t', 'binfmt_misc', 'binfmt_misc', binfmt]);
    if (!existsSync(`${binfmt}/${emulator}`)) await writeFile(`${binfmt}/register`, registration.trim());
  }
  if (await runs()) return;
  throw new FirnError({
    code: 'unavailable',
    operation: 'build an image',
    subject: name,
    message: `this machine can't run programs of ${name}`,
    hint: 'run firmware-images/setup, which installs qemu-user-static; the kernel needs binfmt_misc',
  });
}
