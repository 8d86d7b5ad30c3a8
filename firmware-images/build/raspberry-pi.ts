import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

// A Raspberry Pi 4 (also 400 and Compute Module 4) starts firmware of its own from the first FAT partition. It loads
// U-Boot in place of a kernel, which offers UEFI, so that from GRUB on a Pi starts like every other machine.

/** Source: "The config.txt file" of Raspberry Pi's documentation. */
const configuration = `# Read by the firmware of a Raspberry Pi. It starts U-Boot, U-Boot starts GRUB.
arm_64bit=1
kernel=u-boot.bin
# The kernel's console on pins 8 and 10, 115200.
enable_uart=1
upstream_kernel=1
disable_overscan=1
gpu_mem=16
`;

/** Places of the root file system. */
const from = {
  firmware: 'usr/lib/raspi-firmware',
  uBoot: 'usr/lib/u-boot/rpi_arm64/u-boot.bin',
} as const;

/** Collects in `folder` what the boot partition of a Pi needs, from the packages in `root`, and takes it out of there. */
export async function collectPiFirmware(root: string, folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  for (const name of ['start4.elf', 'fixup4.dat'])
    await cp(join(root, from.firmware, name), join(folder, name));
  await cp(join(root, from.uBoot), join(folder, 'u-boot.bin'));
  const trees = join(root, 'usr/lib', await kernelTrees(root), 'broadcom');
  for (const name of await readdir(trees))
    if (name.startsWith('bcm2711-')) await cp(join(trees, name), join(folder, name));
  await writeFile(join(folder, 'config.txt'), configuration);
  for (const path of [from.firmware, 'usr/lib/u-boot', 'boot/firmware'])
    await rm(join(root, path), { recursive: true, force: true });
}

/** Name of the folder with the newest kernel's device trees. */
async function kernelTrees(root: string): Promise<string> {
  const names = (await readdir(join(root, 'usr/lib'))).filter((name) => name.startsWith('linux-image-'));
  return names.sort().at(-1) ?? 'linux-image';
}
