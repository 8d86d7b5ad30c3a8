import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type CommandLine, runCommand } from '../lake/base/command.ts';
import { FirnError } from '../lake/base/errors.ts';
import { makeApplication } from './build/application.ts';
import { type Architecture, architectures } from './build/architectures.ts';
import { billOfMaterials } from './build/bill-of-materials.ts';
import { makeBundle } from './build/bundle.ts';
import { makeData, makeDisk, makeEfi, makeSlot } from './build/disk.ts';
import { runForeignPrograms } from './build/emulation.ts';
import { readAuthority, type SigningKeys, trialKeys } from './build/keys.ts';
import { compareWithLock, lockPath } from './build/lock.ts';
import { sourcesOf } from './build/mirror.ts';
import { makeRoot } from './build/root.ts';
import { run } from './build/run.ts';

// `npm run image -- amd64|arm64`: a disk image to flash and a signed bundle to update with, from one recipe.

const repository = join(import.meta.dirname, '..');

const command = {
  name: 'npm run image --',
  about:
    'Builds an image to flash, a signed update bundle, checksums and a bill of materials. ARCHITECTURE is amd64 (PCs with\n' +
    'UEFI) or arm64 (Raspberry Pi 4, other machines with UEFI). Needs root on Debian, and firmware-images/setup.',
  flags: [
    {
      flag: '--out',
      value: 'FOLDER',
      description: 'Where the results go (default .cache/image/ARCHITECTURE)',
    },
    {
      flag: '--mirror',
      value: 'URL',
      description: 'Debian mirror; one of a fixed day makes the image repeatable',
    },
    {
      flag: '--image-version',
      value: 'VERSION',
      description: 'Version of the image (default: that of package.json)',
    },
    {
      flag: '--write-lock',
      description: 'Take the versions of packages as they are, and write the lock file',
    },
    {
      flag: '--authority',
      value: 'PEM',
      description: 'Certificate whose signatures devices believe; default: keys for trying',
    },
    { flag: '--signer', value: 'PEM', description: 'Certificate that signs the bundle' },
    { flag: '--signer-key', value: 'PEM', description: 'Its key' },
  ],
  positionals: ['ARCHITECTURE'],
  settings: [],
};

/** When a path was changed last, in seconds since 1970; 0: it is not committed. */
const committedAt = async (path: string): Promise<number> =>
  Number((await run('git', ['log', '-1', '--format=%ct', '--', path], { cwd: repository })).trim());

async function build(line: CommandLine): Promise<number> {
  const architecture = architectureOf(line.positionals[0] ?? '');
  if (process.getuid?.() !== 0)
    throw refused('user', 'an image is built by root', 'files of a root file system have owners');
  const work = line.value('--out') ?? join(repository, '.cache/image', architecture.name);
  await mkdir(work, { recursive: true });
  const version = line.value('--image-version') ?? (await packageVersion());
  const epoch = await committedAt('.');
  const keys = await signingKeys(line, join(repository, '.cache/image/trial-keys'));
  const path = (name: string): string => join(work, name);
  const began = Date.now();
  const say = (what: string): void => {
    process.stderr.write(`${((Date.now() - began) / 1000).toFixed(1).padStart(7)} s  ${what}\n`);
  };

  await runForeignPrograms(architecture);
  say('packages and Node from npm');
  await makeApplication(architecture, path('application'));
  say('Debian packages');
  const root = await makeRoot({
    ...{ architecture, version, epoch, root: path('root'), application: path('application') },
    baseEpoch: (await committedAt(lockPath(architecture))) || epoch,
    ...(architecture.piFirmware ? { piFirmware: path('pi-firmware') } : {}),
    day: new Date().toISOString().slice(0, 10),
    sources: await sourcesOf(line.value('--mirror')),
    updateAuthority: await readAuthority(keys),
  });
  if (line.isSet('--write-lock')) await writeFile(lockPath(architecture), `${root.packages.join('\n')}\n`);
  else await compareWithLock(architecture, root.packages);
  say('file systems');
  await makeSlot(path('root'), path('root.ext4'), epoch);
  const menu = (await readFile(join(import.meta.dirname, 'grub.cfg'), 'utf8'))
    .replace('@TERMINAL@', architecture.grub.terminal)
    .replace('@CONSOLES@', architecture.consoles);
  await makeEfi(
    {
      ...{ architecture, bootProgram: root.bootProgram, grubMenu: menu },
      ...(architecture.piFirmware ? { extra: path('pi-firmware') } : {}),
    },
    path('efi.vfat'),
    { work: path('efi'), epoch },
  );
  await makeData(path('data.ext4'), epoch);
  const name = `firn-${version}-${architecture.name}`;
  await makeDisk(
    { efi: path('efi.vfat'), root: path('root.ext4'), data: path('data.ext4') },
    path(`${name}.img`),
  );
  say('bundle');
  await makeBundle(
    { architecture, version, keys, slot: path('root.ext4'), work: path('bundle') },
    path(`${name}.raucb`),
  );
  say('bill of materials, compression, checksums');
  await writeFile(
    path(`${name}.cdx.json`),
    await billOfMaterials({
      architecture,
      version,
      packages: root.packages,
      application: path('application'),
    }),
  );
  await run('zstd', ['-q', '-f', '-9', '-T0', path(`${name}.img`), '-o', path(`${name}.img.zst`)]);
  await writeChecksums(work, [`${name}.img`, `${name}.img.zst`, `${name}.raucb`, `${name}.cdx.json`]);
  say('done');
  return 0;
}

function architectureOf(name: string): Architecture {
  if (name === 'amd64' || name === 'arm64') return architectures[name];
  throw refused('ARCHITECTURE', `${JSON.stringify(name)} is none`, 'write amd64 or arm64');
}

async function packageVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8')) as {
    version: string;
  };
  return version;
}

async function signingKeys(line: CommandLine, trialFolder: string): Promise<SigningKeys> {
  const [authority, certificate, key] = ['--authority', '--signer', '--signer-key'].map((flag) =>
    line.value(flag),
  );
  if (authority !== undefined && certificate !== undefined && key !== undefined)
    return { authority, certificate, key };
  if (authority !== undefined || certificate !== undefined || key !== undefined)
    throw refused(
      '--authority',
      '--authority, --signer and --signer-key go together',
      'give all three, or none',
    );
  process.stderr.write(
    'no --authority: the image trusts keys for trying, made here; give your own for devices in the field\n',
  );
  return trialKeys(trialFolder);
}

async function writeChecksums(folder: string, names: readonly string[]): Promise<void> {
  const lines: string[] = [];
  for (const name of names) {
    const hash = createHash('sha256');
    await pipeline(createReadStream(join(folder, name)), hash);
    lines.push(`${hash.digest('hex')}  ${name}\n`);
    process.stdout.write(`${name}  ${((await stat(join(folder, name))).blocks / 2048).toFixed(0)} MiB\n`);
  }
  await writeFile(join(folder, 'SHA256SUMS.tmp'), lines.join(''));
  await rename(join(folder, 'SHA256SUMS.tmp'), join(folder, 'SHA256SUMS'));
}

const refused = (subject: string, message: string, hint: string): FirnError =>
  new FirnError({
    code: 'invalid',
    operation: 'build an image',
    subject,
    message: `${subject}: ${message}`,
    hint,
  });

process.exitCode = await runCommand(command, process.argv.slice(2), build);
