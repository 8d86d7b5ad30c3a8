import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { metricsBatch } from '../../test/contract/rows.ts';
import { openWal } from '../wal/open-wal.ts';
import { openWalReader } from '../wal/reader.ts';
import { createGatewayClock } from './gateway-clock.ts';
import { isTracking, type Machine, systemMachine } from './machine.ts';
import { recordedTimes } from './recorded-times.ts';
import type { ClockEvidence } from './time-keeper.ts';

const root = mkdtempSync(join(tmpdir(), 'firn-clock-'));
afterAll(() => rmSync(root, { recursive: true }));
const yearUs = 365 * 86_400_000_000;

/** A machine whose wall clock is wrong, with this evidence. */
function fakeMachine(bootId: string, wrongUs: number, evidence: ClockEvidence = {}) {
  const machine = { wrongUs, evidence };
  const port: Machine = {
    bootId,
    read: () => ({
      wallUs: Date.now() * 1000 + machine.wrongUs,
      monoUs: Number(process.hrtime.bigint() / 1000n),
    }),
    evidence: async () => machine.evidence,
  };
  return { machine, port };
}

const start = (machine: Machine, lines: string[] = []) =>
  createGatewayClock({
    ...{ trust: 'auto', holdMs: 600_000, machine, doubtIntervalMs: 5, sureIntervalMs: 5 },
    logger: createLogger('info', (line) => lines.push(line)),
  });

/** Opens the log as the gateway does, and appends a row with the time of receipt. */
async function openLog(name: string, gatewayClock: ReturnType<typeof start>) {
  const { clock, bootId, quality, monotonicUs } = gatewayClock;
  const path = join(root, name);
  const wal = await openWal({
    path,
    clock,
    boot: { bootId, clock: quality },
    monotonicUs,
    commitIntervalMs: 0,
  });
  const append = () => wal.append(metricsBatch([[1n, BigInt(Math.round(clock.nowMs() * 1000)), 0n]]));
  const setClock = wal.setClock;
  const following = await gatewayClock.follow({ setClock, recorded: recordedTimes(path, bootId) });
  /** By what the log knows of its boot, how wrong each row is in thousands of seconds, and its quality. */
  const rows = () => {
    using reader = openWalReader(path);
    const boots = reader.boots();
    return [...reader.tail('metrics', 0, reader.lastSeq())].map(({ boot, receivedUs }) => {
      const { clock: of, offsetUs } = boots.get(boot) ?? { clock: 'untrusted', offsetUs: 0 };
      return [of, Math.round((receivedUs + offsetUs - Date.now() * 1000) / 1e9) + 0];
    });
  };
  const close = async (): Promise<void> => {
    await following[Symbol.asyncDispose]();
    await wal[Symbol.asyncDispose]();
  };
  return { append, rows, close, wal };
}

test('time comes late: the log puts right what it has, also of a process before', async () => {
  const { machine, port } = fakeMachine('boot-1', -50 * yearUs);
  const first = await openLog('late.db', start(port));
  await first.append();
  await first.close();
  const lines: string[] = [];
  const gatewayClock = start(port, lines);
  expect(gatewayClock.ownTime().trusted).toBe(false);
  const second = await openLog('late.db', gatewayClock);
  await second.append();
  expect(second.rows().map(([quality]) => quality)).toEqual(['untrusted', 'untrusted']);
  machine.wrongUs = 0;
  machine.evidence = { synchronizedUs: Date.now() * 1000 + 1_000_000 };
  await expect.poll(() => gatewayClock.quality).toBe('trusted');
  await second.append();
  expect(second.rows()).toEqual([
    ['corrected', 0],
    ['corrected', 0],
    ['trusted', 0],
  ]);
  expect(gatewayClock.ownTime().trusted).toBe(true);
  expect(lines.some((line) => line.includes('time daemon'))).toBe(true);
  await second.close();
});

test('another boot: what it left untrusted stays so', async () => {
  const before = await openLog('boots.db', start(fakeMachine('boot-1', -50 * yearUs).port));
  await before.append();
  await before.close();
  const { port } = fakeMachine('boot-2', 0, { synchronizedUs: Date.now() * 1000 });
  const after = await openLog('boots.db', start(port));
  await after.append();
  expect(after.rows()).toEqual([
    ['untrusted', Math.round((-50 * yearUs) / 1e9)],
    ['trusted', 0],
  ]);
  await after.close();
  // The newest time on record is a floor for the next boot.
  const { newestUs = 0 } = recordedTimes(join(root, 'boots.db'), 'boot-3');
  expect(Math.abs(newestUs - Date.now() * 1000)).toBeLessThan(60_000_000);
});

test('the store says it: one answer is not enough, however often it is looked at', async () => {
  const { port } = fakeMachine('boot-1', -2 * yearUs);
  const gatewayClock = start(port);
  const path = join(root, 'store.db');
  await using wal = await openWal({
    path,
    clock: gatewayClock.clock,
    boot: { bootId: 'boot-1', clock: 'untrusted' },
  });
  let time = { serverMs: Date.now(), atMonotonicMs: systemClock.monotonicMs() };
  let asked = 0;
  gatewayClock.ask(() => {
    asked++;
    return time;
  });
  await using _ = await gatewayClock.follow({ setClock: wal.setClock, recorded: {} });
  await expect.poll(() => asked).toBeGreaterThan(5);
  expect(gatewayClock.quality).toBe('untrusted');
  time = { serverMs: Date.now(), atMonotonicMs: systemClock.monotonicMs() };
  await expect.poll(() => gatewayClock.quality).toBe('corrected');
  expect(Math.abs(gatewayClock.clock.nowMs() - Date.now())).toBeLessThan(20_000);
});

test('what a machine shows of its clock', async () => {
  const folder = join(root, 'machine');
  expect(await systemMachine(folder).evidence()).toMatchObject({
    synchronizedUs: undefined,
    rtcUs: undefined,
  });
  const write = (path: string, text: string): void => {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  write('proc/sys/kernel/random/boot_id', 'b1\n');
  write('sys/class/rtc/rtc0/since_epoch', '1700000000\n');
  write('run/systemd/timesync/synchronized', '');
  utimesSync(join(folder, 'run/systemd/timesync/synchronized'), 1_700_000_100, 1_700_000_100);
  const machine = systemMachine(folder);
  expect(machine.bootId).toBe('b1');
  expect(await machine.evidence()).toEqual({
    synchronizedUs: 1_700_000_100_000_000,
    rtcUs: 1_700_000_000_500_000,
    kept: process.platform !== 'linux',
  });
});

test.each([
  ['C0A80001,192.168.0.1,3,1700000000.1,0.000012,0.00001,0.0001,1.2,0.0,0.1,0.01,0.001,64.2,Normal\n', true],
  ['C0A80001,192.168.0.1,3,1700000000.1,-12.5,0.00001,0.0001,1.2,0.0,0.1,0.01,0.001,64.2,Normal\n', false],
  ['7F7F0101,,10,0.0,0.0,0.0,0.0,0.0,0.0,0.0,1.0,1.0,0.0,Not synchronised\n', false],
])('chronyc -c tracking: %s', (csv, expected) => {
  expect(isTracking(csv)).toBe(expected);
});
