import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Clock } from '../../lake/base/clock.ts';
import { blockDeviceOf } from './block-device.ts';
import { type CardOptions, cardProbe } from './card.ts';

const root = mkdtempSync(join(tmpdir(), 'firn-card-'));
afterAll(() => rmSync(root, { recursive: true }));
const GIGABYTE = 1e9;

/** A /sys whose disk below this folder is mmcblk0, seen through a partition and, if asked, an encrypted volume. */
function fakeSys(name: string, options: { lifeTime?: string; encrypted?: boolean } = {}) {
  const sysDir = join(root, name);
  const disk = join(sysDir, 'devices', 'mmc', 'block', 'mmcblk0');
  const partition = join(disk, 'mmcblk0p2');
  mkdirSync(join(disk, 'device'), { recursive: true });
  mkdirSync(partition);
  writeFileSync(join(partition, 'partition'), '2\n');
  writeFileSync(join(disk, 'size'), `${(32 * GIGABYTE) / 512}\n`);
  if (options.lifeTime) writeFileSync(join(disk, 'device', 'life_time'), `${options.lifeTime}\n`);
  let top = partition;
  if (options.encrypted) {
    top = join(sysDir, 'devices', 'virtual', 'block', 'dm-0');
    mkdirSync(join(top, 'slaves'), { recursive: true });
    symlinkSync(partition, join(top, 'slaves', 'mmcblk0p2'));
  }
  mkdirSync(join(sysDir, 'dev', 'block'), { recursive: true });
  const { dev } = statSync(root);
  symlinkSync(
    top,
    join(sysDir, 'dev', 'block', `${(dev >> 8) & 0xfff}:${(dev & 0xff) | ((dev >> 12) & ~0xff)}`),
  );
  const write = (bytes: number): void =>
    writeFileSync(join(disk, 'stat'), `   1 2 3 4  5 6 ${bytes / 512} 8 9 10 11\n`);
  write(0);
  return { sysDir, write };
}

const ioPath = join(root, 'io');
const processWrote = (bytes: number): void =>
  writeFileSync(
    ioPath,
    `rchar: 9\nwchar: 9\nread_bytes: 9\nwrite_bytes: ${bytes}\ncancelled_write_bytes: 9\n`,
  );

function createCard(sysDir: string, options: Partial<CardOptions> = {}) {
  const now = { ms: 0, received: 0 };
  const clock: Clock = { nowMs: () => 0, monotonicMs: () => now.ms, sleep: async () => undefined };
  const receivedBytes = (): number => now.received;
  const probe = cardProbe({
    dataDir: root,
    clock,
    receivedBytes,
    cardTotalBytesWritten: 0,
    sysDir,
    ioPath,
    ...options,
  });
  const read = async () =>
    Object.fromEntries((await probe()).map(({ name, value, labels }) => [name, [value, labels?.device]]));
  return { now, read };
}

test('written bytes, amplification and life of a card, over the last day', async () => {
  const { sysDir, write } = fakeSys('plain');
  const { now, read } = createCard(sysDir);
  processWrote(1000);
  expect(await read()).toEqual({
    disk_written_bytes_total: [1000, undefined],
    received_bytes_total: [0, undefined],
    disk_device_written_bytes_total: [0, 'mmcblk0'],
  });
  now.ms = 86_400_000;
  now.received = 10_000;
  processWrote(81_000);
  write(2 * GIGABYTE);
  expect(await read()).toMatchObject({
    write_amplification_ratio: [8, undefined],
    card_life_days: [16_000, 'mmcblk0'], // 32 TB at 2 GB a day
  });
  // A day later the day before no longer counts.
  now.ms *= 2;
  now.received += 1000;
  processWrote(82_000);
  write(6 * GIGABYTE);
  expect(await read()).toMatchObject({
    write_amplification_ratio: [1, undefined],
    card_life_days: [8000, 'mmcblk0'],
  });
});

test('eMMC says how much of its life is over; a stated life is taken as stated', async () => {
  const { sysDir, write } = fakeSys('emmc', { lifeTime: '0x02 0x05', encrypted: true });
  const { now, read } = createCard(sysDir, { cardTotalBytesWritten: 100 * GIGABYTE });
  await read();
  now.ms = 86_400_000;
  write(GIGABYTE);
  expect(await read()).toMatchObject({
    card_life_used_ratio: [0.5, 'mmcblk0'],
    card_life_days: [50, 'mmcblk0'],
  });
});

test('a folder that is on no disk has no card', async () => {
  const sysDir = join(root, 'nothing');
  mkdirSync(sysDir);
  expect(await blockDeviceOf(root, sysDir)).toBeUndefined();
  expect(Object.keys(await createCard(sysDir).read())).toEqual([
    'disk_written_bytes_total',
    'received_bytes_total',
  ]);
});

test.runIf(process.platform === 'linux')('this process can be measured', async () => {
  const { read } = createCard('/sys', { ioPath: '/proc/self/io' });
  expect((await read()).disk_written_bytes_total?.[0]).toBeGreaterThanOrEqual(0);
  expect(readFileSync('/proc/self/io', 'utf8')).toContain('write_bytes');
});
