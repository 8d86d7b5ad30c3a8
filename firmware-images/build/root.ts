import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Architecture, grubModules, packages } from './architectures.ts';
import { suite } from './mirror.ts';
import { newest } from './newest.ts';
import { collectPiFirmware } from './raspberry-pi.ts';
import { run } from './run.ts';

// The root file system of both slots, as a folder: Debian's packages, the files of overlay/, the gateway.

const overlay = join(import.meta.dirname, '..', 'overlay');
const initramfs = join(import.meta.dirname, '..', 'initramfs');
/** What is in the initial RAM disk, and where it is told so. */
const earlyFiles = [
  ['firn.conf', '/etc/initramfs-tools/conf.d'],
  ['firn.modules', '/usr/share/initramfs-tools/modules.d'],
] as const;

/** Never read on an appliance; copyright notices stay. */
const excluded = ['/usr/share/man/*', '/usr/share/doc/*', '/usr/share/info/*', '/usr/share/locale/*'];

const enabled = [
  ...['firn-setup.service', 'firn-gateway.service', 'firn-confirm.service', 'firn-watch.service'],
  ...['firn-update.path', 'firn-update.service', 'firn-announce.path'],
  ...[
    'systemd-networkd.service',
    'systemd-resolved.service',
    'systemd-timesyncd.service',
    'nftables.service',
  ],
  ...['iwd.service', 'rauc.service'],
];
const disabled = [
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'grub-common.service',
  'e2scrub_reap.service',
];
const masked = [
  'systemd-networkd-wait-online.service',
  'getty@tty1.service',
  ...['ttyS0', 'ttyS1', 'ttyAMA0'].map((console) => `serial-getty@${console}.service`),
];

export interface RootRecipe {
  readonly architecture: Architecture;
  /** Lines of a sources.list. */
  readonly sources: readonly string[];
  /** Folder that is made, and emptied if it is there. */
  readonly root: string;
  /** Folder of the application, which becomes /opt/firn. */
  readonly application: string;
  /** Folder that takes what the boot partition of a Raspberry Pi needs; absent: the image is not for one. */
  readonly piFirmware?: string;
  /** PEM of the authority that signs updates. */
  readonly updateAuthority: string;
  readonly version: string;
  /** Debian's packages of an older day than this are fetched again. */
  readonly day: string;
  /** Seconds since 1970 that no file is younger than. */
  readonly epoch: number;
  /** Seconds since 1970 that what Debian's packages make is dated to: it is kept from one version of Firn to the next. */
  readonly baseEpoch: number;
}

/** In the words of dpkg-query. */
const dpkgFormat = `${'$'}{Package}=${'$'}{Version}\\n`;

export interface Root {
  /** `name=version` of each, in order. */
  readonly packages: readonly string[];
  /** For the EFI partition. */
  readonly bootProgram: Buffer;
}

export async function makeRoot(recipe: RootRecipe): Promise<Root> {
  const { root, architecture } = recipe;
  await copyBase(recipe);
  await cp(overlay, root, { recursive: true, force: true });
  await cp(recipe.application, join(root, 'opt/firn'), { recursive: true, verbatimSymlinks: true });
  await writeConfiguration(recipe);
  await inside(root, ['systemd-sysusers']);
  await inside(root, ['systemctl', '--quiet', 'enable', ...enabled]);
  await inside(root, ['systemctl', '--quiet', 'disable', ...disabled]).catch(() => {}); // what is absent needs no disabling
  await inside(root, ['systemctl', '--quiet', 'mask', ...masked]);
  const installed = await inside(root, ['dpkg-query', '-W', '-f', dpkgFormat]);
  const bootProgram = await makeBootProgram(root, architecture);
  if (recipe.piFirmware !== undefined) await collectPiFirmware(root, recipe.piFirmware);
  await tidyUp(root, architecture);
  await dateFiles(root, recipe.epoch);
  return { packages: installed.trim().split('\n').sort(), bootProgram };
}

/** What was written here and now gets the date of the sources. */
const dateFiles = (folder: string, epoch: number): Promise<string> => {
  const touch = ['touch', '--no-dereference', `--date=@${epoch}`, '{}', '+'];
  return run('find', [folder, '-newermt', `@${epoch}`, '-exec', ...touch]);
};

/** Debian's packages alone are kept in `base` beside the root, and made again when the recipe names others. */
async function copyBase(recipe: RootRecipe): Promise<void> {
  const { root, sources, architecture } = recipe;
  const base = join(dirname(root), 'base');
  const early = await Promise.all(earlyFiles.map(([name]) => readFile(join(initramfs, name), 'utf8')));
  const packages = packagesOf(architecture);
  const key = JSON.stringify([suite, sources, packages, excluded, recipe.day, recipe.baseEpoch, early]);
  const keyFile = `${base}.json`;
  const kept = await readFile(keyFile, 'utf8').catch(() => '');
  if (kept !== key) {
    await rm(keyFile, { force: true });
    await rm(base, { recursive: true, force: true });
    await bootstrap(recipe, base);
    await dateFiles(base, recipe.baseEpoch);
    await writeFile(keyFile, key);
  }
  await rm(root, { recursive: true, force: true });
  await run('cp', ['-a', base, root]);
}

const packagesOf = (architecture: Architecture): readonly string[] => [
  ...packages,
  ...architecture.packages,
  architecture.grub.package,
];

async function bootstrap({ architecture, sources, baseEpoch }: RootRecipe, base: string): Promise<void> {
  await run(
    'mmdebstrap',
    [
      ...['--mode=root', '--variant=minbase', `--architectures=${architecture.name}`],
      `--include=${packagesOf(architecture).join(',')}`,
      '--aptopt=APT::Install-Recommends "false"',
      ...excluded.map((path) => `--dpkgopt=path-exclude=${path}`),
      '--dpkgopt=path-include=/usr/share/doc/*/copyright',
      // Before the kernel's package makes the initial RAM disk.
      ...earlyFiles.flatMap(([name, folder]) => [
        `--essential-hook=mkdir -p "$1${folder}"`,
        `--essential-hook=copy-in ${join(initramfs, name)} ${folder}`,
      ]),
      ...[suite, base, '-'],
    ],
    { input: `${sources.join('\n')}\n`, env: { SOURCE_DATE_EPOCH: String(baseEpoch) } },
  );
}

async function writeConfiguration({
  root,
  architecture,
  updateAuthority,
  version,
}: RootRecipe): Promise<void> {
  const file = (path: string, text: string): Promise<void> => writeFile(join(root, path), text);
  for (const folder of ['data', 'efi', 'etc/rauc', 'etc/systemd/network'])
    await mkdir(join(root, folder), { recursive: true });
  await file('etc/hostname', 'firn\n');
  await file('etc/hosts', '127.0.0.1 localhost\n127.0.1.1 firn\n::1 localhost ip6-localhost\n');
  await file('etc/machine-id', ''); // each boot makes its own: the root can't be written
  await file('etc/firn-release', `${JSON.stringify({ version, architecture: architecture.name })}\n`);
  await file('etc/rauc/keyring.pem', updateAuthority);
  await file('etc/rauc/system.conf', raucConfiguration(architecture, version));
  await symlink(
    `/opt/firn/node_modules/node-linux-${architecture.cpu}/bin/node`,
    join(root, 'usr/lib/firn/node'),
  );
  await rm(join(root, 'etc/resolv.conf'), { force: true });
  await symlink('/run/systemd/resolve/stub-resolv.conf', join(root, 'etc/resolv.conf'));
}

/** An update may not be older than what is installed by its first two numbers; see README, "Updates". */
export function raucConfiguration({ name }: Architecture, version: string): string {
  const [major = '0', minor = '0'] = version.split('.');
  const slot = (index: number, letter: string): string =>
    `[slot.rootfs.${index}]\ndevice=/dev/disk/by-partlabel/root-${letter.toLowerCase()}\ntype=ext4\nbootname=${letter}\n`;
  return [
    `[system]\ncompatible=firn-${name}\nbootloader=grub\ngrubenv=/efi/EFI/firn/grubenv\ndata-directory=/data/rauc\n`,
    `bundle-formats=-plain\nmin-bundle-version=${major}.${minor}.0\n\n`,
    '[keyring]\npath=/etc/rauc/keyring.pem\nuse-bundle-signing-time=true\n\n',
    `${slot(0, 'A')}\n${slot(1, 'B')}`,
  ].join('');
}

async function tidyUp(root: string, { grub }: Architecture): Promise<void> {
  const gone = ['var/lib/apt/lists', 'var/cache/apt', 'var/cache/debconf', 'var/log/apt', 'var/log/dpkg.log'];
  for (const path of [
    ...gone,
    'etc/machine-id.new',
    'etc/.pwd.lock',
    'var/log/alternatives.log',
    'var/log/bootstrap.log',
  ])
    await rm(join(root, path), { recursive: true, force: true });
  const boot = join(root, 'boot');
  for (const [kind, link] of [
    ['vmlinuz-', 'vmlinuz'],
    ['initrd.img-', 'initrd.img'],
  ] as const) {
    const name = newest((await readdir(boot)).filter((each) => each.startsWith(kind)));
    await rm(join(boot, link), { force: true });
    if (name !== undefined) await symlink(name, join(boot, link));
  }
  await rm(join(root, 'usr/lib/grub', grub.format), { recursive: true, force: true }); // its modules are in the boot program
}

/** The boot program of the EFI partition: finds it by its own file and goes on with the menu there. */
async function makeBootProgram(root: string, { grub }: Architecture): Promise<Buffer> {
  const search =
    'search --no-floppy --set=esp --file /EFI/firn/grub.cfg\nexport esp\nconfigfile ($esp)/EFI/firn/grub.cfg\n';
  await writeFile(join(root, 'tmp/search.cfg'), search);
  const modules = [...grubModules, ...grub.modules];
  const image = ['-O', grub.format, '-p', '/EFI/firn', '-c', '/tmp/search.cfg', '-o', '/tmp/boot.efi'];
  await inside(root, ['grub-mkimage', ...image, ...modules]);
  const program = await readFile(join(root, 'tmp/boot.efi'));
  for (const name of ['search.cfg', 'boot.efi']) await rm(join(root, 'tmp', name));
  return program;
}

/** Runs a program of the root in it. */
const inside = (root: string, [program = '', ...args]: readonly string[]): Promise<string> =>
  run('chroot', [root, program, ...args]);
