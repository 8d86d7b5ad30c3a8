import { mkdir, open, readdir, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Architecture } from './architectures.ts';
import { run } from './run.ts';

// File systems are filled from folders and laid side by side in one file: nothing is mounted, no loop device is needed.

const MEBIBYTE = 1024 * 1024;

/** Sizes in MiB. `data` grows to the end of the disk at the first boot. */
const partitions = { gap: 1, efi: 128, root: 1024, data: 256, backup: 1 } as const;

/** Names that file systems and partitions have in every image, so that the same root gives the same bytes. */
const ids = {
  disk: '6d2b0e2c-6f6e-4f3a-9a57-0f1a5c1e0001',
  root: '6d2b0e2c-6f6e-4f3a-9a57-0f1a5c1e0002',
  hash: '6d2b0e2c-6f6e-4f3a-9a57-0f1a5c1e0003',
  data: '6d2b0e2c-6f6e-4f3a-9a57-0f1a5c1e0004',
  efi: 'F1240001',
} as const;

/** For programs that write a date of their own. */
const dated = (epoch: number) => ({
  env: { SOURCE_DATE_EPOCH: String(epoch), E2FSPROGS_FAKE_TIME: String(epoch) },
});

/** A slot's file system. It is never written on a device, so it has no journal. */
export async function makeSlot(root: string, image: string, epoch: number): Promise<void> {
  await rm(image, { force: true });
  const features = ['-O', '^has_journal', '-E', `hash_seed=${ids.hash},lazy_itable_init=0`, '-U', ids.root];
  await run(
    'mke2fs',
    ['-q', '-t', 'ext4', '-L', 'root', '-m', '0', ...features, '-d', root, image, `${partitions.root}M`],
    dated(epoch),
  );
  await dateInodes(root, image, epoch);
}

/** mke2fs copies when the files of the folder were read and changed on this machine, which nothing else can set. */
async function dateInodes(root: string, image: string, epoch: number): Promise<void> {
  const files = await readdir(root, { recursive: true });
  const paths = ['/', '/lost+found', ...files.map((path) => `/${path}`)];
  const commands = paths.flatMap((path) =>
    ['atime', 'ctime'].map((field) => `set_inode_field "${path}" ${field} @${epoch}\n`),
  );
  const file = `${image}.dates`;
  await writeFile(file, commands.join(''));
  await run('debugfs', ['-w', '-f', file, image], dated(epoch));
  await rm(file);
}

export interface EfiFiles {
  readonly architecture: Architecture;
  readonly bootProgram: Buffer;
  readonly grubMenu: string;
  /** Folder of files beside it (firmware of a Raspberry Pi); absent: none. */
  readonly extra?: string;
}

/** The EFI partition: boot program, menu, and which slot is tried next. `work` is a folder for what lies between; files are dated `epoch`. */
export async function makeEfi(
  files: EfiFiles,
  image: string,
  { work, epoch }: { readonly work: string; readonly epoch: number },
): Promise<void> {
  await rm(image, { force: true });
  await mkdir(work, { recursive: true });
  await writeFile(join(work, 'boot.efi'), files.bootProgram);
  await writeFile(join(work, 'grub.cfg'), files.grubMenu);
  await writeFile(
    join(work, 'grubenv'),
    grubEnvironment({ ORDER: 'A B', A_OK: '1', A_TRY: '0', B_OK: '0', B_TRY: '0' }),
  );
  const format = ['--invariant', '-F', '32', '-n', 'FIRN', '-i', ids.efi];
  await run('mkfs.vfat', [...format, '-C', image, String(partitions.efi * 1024)]);
  await run('mmd', ['-i', image, '::/EFI', '::/EFI/BOOT', '::/EFI/firn'], dated(epoch));
  const copy = (from: string, to: string): Promise<string> =>
    run('mcopy', ['-i', image, join(work, from), `::${to}`], dated(epoch));
  await copy('boot.efi', `/EFI/BOOT/${files.architecture.grub.efiFile}`);
  await copy('grub.cfg', '/EFI/firn/grub.cfg');
  await copy('grubenv', '/EFI/firn/grubenv');
  if (files.extra !== undefined)
    for (const name of (await readdir(files.extra)).sort())
      await run('mcopy', ['-i', image, join(files.extra, name), '::/'], dated(epoch));
}

/** A file of GRUB's variables: a block of 1024 bytes that it writes in place. Source: GRUB's manual, "Environment block". */
export function grubEnvironment(variables: Readonly<Record<string, string>>): string {
  const lines = Object.entries(variables).map(([name, value]) => `${name}=${value}\n`);
  return `# GRUB Environment Block\n${lines.join('')}`.padEnd(1024, '#');
}

/** The partition that holds what outlives updates, and nothing yet. */
export async function makeData(image: string, epoch: number): Promise<void> {
  await rm(image, { force: true });
  const features = ['-O', 'metadata_csum', '-E', `hash_seed=${ids.hash},lazy_itable_init=0`, '-U', ids.data];
  await run(
    'mke2fs',
    ['-q', '-t', 'ext4', '-L', 'data', '-m', '1', ...features, image, `${partitions.data}M`],
    dated(epoch),
  );
}

/** One file to be written to a card or disk: GPT, EFI partition, slot A, an empty slot B, data. */
export async function makeDisk(
  parts: { efi: string; root: string; data: string },
  disk: string,
): Promise<void> {
  await rm(disk, { force: true });
  await writeFile(disk, '');
  const { gap, efi, root, data, backup } = partitions;
  await truncate(disk, (gap + efi + 2 * root + data + backup) * MEBIBYTE);
  const line = (sizeMiB: number, type: string, name: string, uuid: string, start = ''): string =>
    `${start}size=${sizeMiB}MiB, type=${type}, name=${name}, uuid=6d2b0e2c-6f6e-4f3a-9a57-0f1a5c1e${uuid}\n`;
  const table = [
    `label: gpt\nlabel-id: ${ids.disk}\n`,
    line(efi, 'uefi', 'efi', '0011', 'start=2048, '),
    line(root, 'linux', 'root-a', '0012'),
    line(root, 'linux', 'root-b', '0013'),
    line(data, 'linux', 'data', '0014'),
  ];
  await run('sfdisk', ['-q', disk], { input: table.join('') });
  await copyInto(parts.efi, disk, gap);
  await copyInto(parts.root, disk, gap + efi);
  await copyInto(parts.data, disk, gap + efi + 2 * root);
}

/** Copies a file system to `startMiB` of the disk, and leaves holes where it has only zeros. */
async function copyInto(image: string, disk: string, startMiB: number): Promise<void> {
  await using from = await open(image, 'r');
  await using to = await open(disk, 'r+');
  const block = Buffer.alloc(MEBIBYTE);
  const zeros = Buffer.alloc(MEBIBYTE);
  for (let at = 0; ; at += MEBIBYTE) {
    const { bytesRead } = await from.read(block, 0, MEBIBYTE, at);
    if (bytesRead === 0) return;
    if (block.compare(zeros, 0, bytesRead, 0, bytesRead) !== 0)
      await to.write(block, 0, bytesRead, startMiB * MEBIBYTE + at);
  }
}
