import { execFileSync, spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { architectures, packages } from '../../firmware-images/build/architectures.ts';
import { grubEnvironment, makeSlot } from '../../firmware-images/build/disk.ts';
import { differencesOf, lockPath } from '../../firmware-images/build/lock.ts';
import { collectPiFirmware } from '../../firmware-images/build/raspberry-pi.ts';
import { raucConfiguration } from '../../firmware-images/build/root.ts';
import { announcementMark } from '../../gateway/appliance/announcement.ts';
import { placesUnder } from '../../gateway/appliance/places.ts';
import { requestMark } from '../../gateway/appliance/requested-update.ts';
import { bootPartitionOffset, personaliseImage } from '../../provisioning/image.ts';
import { parseSiteFile, printSiteFile } from '../../provisioning/site-file.ts';

// What can be said of images without building one. `npm run test:image` boots one.

const overlay = join(import.meta.dirname, '../../firmware-images/overlay');
const units = readdirSync(join(overlay, 'etc/systemd/system')).filter((name) => name.endsWith('.service'));
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

const isSame = (one: string, other: string): boolean =>
  spawnSync('sh', ['-c', 'cmp --quiet "$0" "$1"', one, other]).status === 0;

let work: string;

beforeEach(() => {
  work = mkdtempSync(join(tmpdir(), 'firn-firmware-'));
});

afterEach(() => rmSync(work, { recursive: true }));

test.skipIf(!has('systemd-analyze'))('systemd takes the unit files', () => {
  expect(units).toHaveLength(7);
  for (const unit of units) {
    const { stdout, stderr } = spawnSync(
      'systemd-analyze',
      ['verify', '--man=no', '--recursive-errors=no', unit.replace('@', '@sda1')],
      {
        encoding: 'utf8',
        env: { ...process.env, SYSTEMD_UNIT_PATH: `${join(overlay, 'etc/systemd/system')}:` },
      },
    );
    const complaints = `${stdout}${stderr}`
      .split('\n')
      .filter((line) => line !== '' && !/is not executable|Failed to (open|connect)/.test(line));
    expect(complaints, unit).toEqual([]);
  }
});

test.each([
  ['update', requestMark],
  ['announce', announcementMark],
])('systemd waits for the mark that the gateway puts down: firn-%s', (name, markIn) => {
  const read = (kind: string): string =>
    readFileSync(join(overlay, `etc/systemd/system/firn-${name}.${kind}`), 'utf8');
  const mark = markIn(placesUnder('/'));
  expect(read('path')).toContain(`PathExists=${mark}\n`);
  expect(read('service')).toContain(`ExecStartPre=/usr/bin/rm -f ${mark}\n`);
});

test.skipIf(!has('systemd-analyze'))('the gateway runs with few rights', () => {
  const unit = join(overlay, 'etc/systemd/system/firn-gateway.service');
  const printed = execFileSync('systemd-analyze', ['security', '--offline=true', '--no-pager', unit], {
    encoding: 'utf8',
  });
  expect(Number(/exposure level for firn-gateway.service: ([0-9.]+)/.exec(printed)?.[1])).toBeLessThan(2);
});

test.each(Object.values(architectures))(
  'the lock of $name names every package of the recipe',
  (architecture) => {
    const locked = readFileSync(lockPath(architecture), 'utf8').trim().split('\n');
    const names = new Set(locked.map((line) => line.split('=')[0]));
    const { grub, packages: own } = architecture;
    expect([...packages, ...own, grub.package].filter((name) => !names.has(name))).toEqual([]);
    expect(names).not.toContain('openssh-server');
    expect([...names].filter((name) => /^(gcc|g\+\+|make|binutils)/.test(name ?? ''))).toEqual([
      'gcc-14-base',
    ]);
  },
);

test('a package that is not as the lock says is named', () => {
  expect(differencesOf(['a=1', 'b=1', 'c=1'], ['a=1', 'b=2', 'd=1'])).toEqual([
    'b 1 -> 2',
    'c 1 -> absent',
    'd absent -> 1',
  ]);
});

test.skipIf(!has('mke2fs') || !has('debugfs'))(
  'the same files give the same slot, whenever they were read',
  async () => {
    const [root, first, second] = ['root', 'first.ext4', 'second.ext4'].map((name) => join(work, name)) as [
      string,
      string,
      string,
    ];
    mkdirSync(join(root, 'etc/a folder'), { recursive: true });
    writeFileSync(join(root, 'etc/a folder/file'), 'text');
    await makeSlot(root, first, 1_700_000_000);
    utimesSync(join(root, 'etc/a folder/file'), 1, statSync(join(root, 'etc/a folder/file')).mtimeMs / 1000);
    await makeSlot(root, second, 1_700_000_000);
    expect(isSame(first, second)).toBe(true);
    writeFileSync(join(root, 'etc/a folder/file'), 'TEXT');
    await makeSlot(root, second, 1_700_000_000);
    expect(isSame(first, second)).toBe(false);
  },
);

test('what GRUB and RAUC are told', () => {
  const block = grubEnvironment({ ORDER: 'A B', A_OK: '1' });
  expect(block).toHaveLength(1024);
  expect(block).toMatch(/^# GRUB Environment Block\nORDER=A B\nA_OK=1\n#+$/);
  const rauc = raucConfiguration(architectures.arm64, '1.4.2');
  expect(rauc).toContain('compatible=firn-arm64\n');
  expect(rauc).toContain('min-bundle-version=1.4.0\n');
  expect(rauc).toContain('bundle-formats=-plain\n');
});

describe.skipIf(!has('mcopy') || !has('mkfs.vfat'))('personalising an image', () => {
  const site = parseSiteFile('tenant: acme\nsite: plant-7\nwifi: {ssid: Büro, passphrase: "12345678"}\n');

  function bareImage(): string {
    const [partition, image] = [join(work, 'boot.vfat'), join(work, 'firn.img')];
    execFileSync('mkfs.vfat', ['-F', '32', '-C', partition, String(64 * 1024)]);
    writeFileSync(image, Buffer.concat([Buffer.alloc(bootPartitionOffset), readFileSync(partition)]));
    return image;
  }

  test('the file is on the boot partition of the copy, and the image is as it was', async () => {
    const image = bareImage();
    const before = readFileSync(image);
    await personaliseImage(image, site, join(work, 'copy.img'));
    const there = execFileSync(
      'mtype',
      ['-i', `${join(work, 'copy.img')}@@${bootPartitionOffset}`, '::firn-site.yaml'],
      { encoding: 'utf8' },
    );
    expect(parseSiteFile(there)).toEqual(site);
    expect(there).toBe(printSiteFile(site));
    expect(readFileSync(image).equals(before)).toBe(true);
  });

  test('what is no image is refused, and leaves nothing', async () => {
    const image = join(work, 'firn.img.zst');
    writeFileSync(image, 'compressed');
    await expect(personaliseImage(image, site, join(work, 'copy.img'))).rejects.toMatchObject({
      code: 'invalid',
      hint: expect.stringContaining('zstd -d'),
    });
    expect(readdirSync(work)).toEqual(['firn.img.zst']);
  });
});

test('a Raspberry Pi starts U-Boot from files of the packages, and the root keeps none of them', async () => {
  const root = join(work, 'root');
  const file = (path: string): void => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), path);
  };
  for (const name of ['start4.elf', 'fixup4.dat', 'start.elf']) file(`usr/lib/raspi-firmware/${name}`);
  file('usr/lib/u-boot/rpi_arm64/u-boot.bin');
  for (const kernel of ['6.12.9', '6.12.118'])
    for (const board of ['bcm2711-rpi-4-b', 'bcm2837-rpi-3-b'])
      file(`usr/lib/linux-image-${kernel}-arm64/broadcom/${board}.dtb`);
  const folder = join(work, 'pi');
  await collectPiFirmware(root, folder);
  const names = ['bcm2711-rpi-4-b.dtb', 'config.txt', 'fixup4.dat', 'start4.elf', 'u-boot.bin'];
  expect(readdirSync(folder).sort()).toEqual(names);
  expect(readFileSync(join(folder, 'bcm2711-rpi-4-b.dtb'), 'utf8')).toContain('6.12.118');
  expect(readFileSync(join(folder, 'config.txt'), 'utf8')).toMatch(/^kernel=u-boot\.bin$/m);
  expect(readdirSync(join(root, 'usr/lib')).sort()).toEqual([
    'linux-image-6.12.118-arm64',
    'linux-image-6.12.9-arm64',
  ]);
});
