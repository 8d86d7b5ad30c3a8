import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../lake/base/clock.ts';
import { type Check, confirmUpdate, type Verdict } from './confirm-update.ts';
import { installUpdate } from './install-update.ts';
import { type Places, placesUnder } from './places.ts';
import { firmwareUpdates, installRequested, requestMark } from './requested-update.ts';
import { type DirectorySlots, directorySlots } from './slots.fixture.ts';
import { readUpdateRecord } from './update-record.ts';

let root: string;
let places: Places;
let slots: DirectorySlots;
let told: string[];

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'firn-appliance-'));
  places = placesUnder(root);
  for (const folder of [places.updates, places.config, join(root, 'etc')])
    mkdirSync(folder, { recursive: true });
  writeFileSync(places.release, JSON.stringify({ version: '1.4.0', architecture: 'amd64' }));
  slots = directorySlots(root, places.release);
  told = [];
  slots.boot();
});

afterEach(() => rmSync(root, { recursive: true }));

function bundle(version: string, fields: object = {}): string {
  const path = join(root, `${version}.raucb`);
  writeFileSync(path, JSON.stringify({ version, compatible: 'firn-amd64', signed: true, ...fields }));
  return path;
}

const install = (path: string, shipping = false) =>
  installUpdate({ slots, places, bundle: path, shipping: async () => shipping });

/** What the cloud hears of an update that it has asked for by rollout 7. */
const toldToCloud = (): string => {
  const { state, detail } = firmwareUpdates(places)?.said().told ?? {};
  return [state, detail].filter(Boolean).join(': ');
};

/** As the service does that finds a request of rollout 7. */
const installAsked = (
  version: string,
  how: (path: string) => Promise<unknown> | undefined = () => undefined,
) => {
  firmwareUpdates(places)?.request(7, { version, url: 'https://updates.example.com/{architecture}' });
  return installRequested({
    places,
    fetchBundle: async () => bundle('1.5.0'),
    install: (path, request) =>
      how(path) ?? installUpdate({ slots, places, bundle: path, request, shipping: async () => false }),
  });
};

/** A clock whose sleeps pass at once. */
function steppingClock(): Clock {
  let ms = 0;
  return {
    nowMs: () => ms,
    monotonicMs: () => ms,
    sleep: async (duration) => {
      ms += duration;
    },
  };
}

/** One start of the machine: the boot menu, then the health check with this gateway. */
async function start(fails: (version: string) => string | undefined, cloud = true): Promise<Verdict> {
  const version = slots.boot();
  const check = (name: string, isNeeded: Check['isNeeded'], run: () => string | undefined): Check => ({
    ...{ name, isNeeded },
    run: async () => {
      const why = run();
      if (why !== undefined) throw new Error(why);
    },
  });
  const checks = [
    check(
      'broker',
      () => true,
      () => fails(version),
    ),
    check(
      'cloud',
      (record) => record?.shipped === true,
      () => (cloud ? undefined : 'out of reach'),
    ),
  ];
  return confirmUpdate({
    ...{ slots, places, checks, clock: steppingClock(), limitMs: 300_000, intervalMs: 2000 },
    tell: async (level, text) => void told.push(`${level}: ${text}`),
    restart: async () => {},
  });
}

const well = (): undefined => undefined;

test('a healthy update is kept, and said', async () => {
  expect(await install(bundle('1.5.0'))).toEqual({ slot: 'B', fromVersion: '1.4.0', toVersion: '1.5.0' });
  expect(await start(well)).toBe('kept');
  expect(told).toEqual(['info: update from 1.4.0 to 1.5.0: healthy, and kept']);
  expect(readUpdateRecord(places)).toBeUndefined();
  expect(await start(well)).toBe('confirmed');
  expect(slots.booted).toBe('B');
  expect(told).toHaveLength(1);
});

test('an update whose gateway is not healthy goes back, and the old version says why', async () => {
  await install(bundle('1.5.0'));
  const broken = (version: string) => (version === '1.5.0' ? 'connection refused' : undefined);
  expect(await start(broken)).toBe('went back');
  expect(await start(broken)).toBe('confirmed');
  expect(slots.booted).toBe('A');
  expect(told).toEqual([
    'error: update from 1.4.0 to 1.5.0: failed, back on 1.4.0: broker: connection refused',
  ]);
});

test('an update that never gets to its health check is left after three starts', async () => {
  await install(bundle('1.5.0'));
  expect([slots.boot(), slots.boot(), slots.boot()]).toEqual(['1.5.0', '1.5.0', '1.5.0']);
  expect(await start(well)).toBe('confirmed');
  expect(slots.booted).toBe('A');
  expect(told).toEqual([
    'error: update from 1.4.0 to 1.5.0: failed, back on 1.4.0: slot B did not come up in three starts',
  ]);
});

test('the cloud counts only where it was in reach before', async () => {
  await install(bundle('1.5.0'), true);
  expect(await start(well, false)).toBe('went back');
  await start(well, false);
  await install(bundle('1.5.0'), false);
  expect(await start(well, false)).toBe('kept');
});

test('an installation that was cut off changes nothing, and is said', async () => {
  const path = bundle('1.5.0');
  const cut = { ...slots, install: () => new Promise<void>(() => {}) };
  void installUpdate({ slots: cut, places, bundle: path, shipping: async () => false });
  await expect.poll(() => readUpdateRecord(places)?.stage, { timeout: 30_000 }).toBe('installing');
  expect(await start(well)).toBe('confirmed');
  expect(told).toEqual(['error: update from 1.4.0 to 1.5.0: cut off while it was written; 1.4.0 goes on']);
});

describe('an update that the cloud asks for', () => {
  test('is told to be tried, then to be applied', async () => {
    expect(await installAsked('1.5.0')).toBe(true);
    expect(existsSync(requestMark(places))).toBe(true);
    expect(toldToCloud()).toBe('trying');
    expect(await installAsked('1.5.0')).toBe(false); // it waits for its judgement
    expect(await start(well)).toBe('kept');
    expect(toldToCloud()).toBe('applied: update from 1.4.0 to 1.5.0: healthy, and kept');
    expect(await installAsked('1.5.0')).toBe(false);
  });

  test('is told to be rolled back when it is not healthy', async () => {
    await installAsked('1.5.0');
    const broken = (version: string) => (version === '1.5.0' ? 'connection refused' : undefined);
    await start(broken);
    expect(toldToCloud()).toBe('trying');
    await start(broken);
    expect(toldToCloud()).toMatch(/^rolled-back: .* back on 1\.4\.0: broker: connection refused/);
    expect(await installAsked('1.5.0')).toBe(false);
  });

  test('is installed again when the power went while it was written', async () => {
    const cut = { ...slots, install: () => new Promise<void>(() => {}) };
    void installAsked('1.5.0', (path) =>
      installUpdate({
        ...{ slots: cut, places, bundle: path, request: { rollout: 7, version: '1.5.0' } },
        shipping: async () => false,
      }),
    );
    await expect.poll(() => readUpdateRecord(places)?.stage, { timeout: 30_000 }).toBe('installing');
    await start(well);
    expect(toldToCloud()).toBe('trying');
    expect(await installAsked('1.5.0')).toBe(true);
  });

  test('is refused when the bundle is of another version, and the file goes', async () => {
    expect(await installAsked('1.6.0')).toBe(false);
    expect(toldToCloud()).toMatch(/^refused: the bundle has version 1\.5\.0, and the rollout is of 1\.6\.0/);
    expect(existsSync(join(root, '1.5.0.raucb'))).toBe(false);
  });

  test('is followed by one that was asked for meanwhile', async () => {
    const refusedFirst = (path: string): Promise<unknown> | undefined => {
      if (firmwareUpdates(places)?.said().told?.rollout !== 7) return undefined;
      firmwareUpdates(places)?.request(8, { version: '1.5.0', url: 'https://updates.example.com/8' });
      return Promise.reject(new Error(`${path} is damaged`));
    };
    expect(await installAsked('1.5.0', refusedFirst)).toBe(true);
    expect(firmwareUpdates(places)?.said().told).toEqual({ rollout: 8, state: 'trying' });
  });

  test('a machine that was not flashed has none', () => {
    rmSync(places.release);
    expect(firmwareUpdates(places)).toBeUndefined();
  });
});

test.each([
  ['a foreign signature', '1.5.0', { signed: false }, /signature/],
  ['another kind of machine', '1.5.0', { compatible: 'firn-arm64' }, /is for firn-arm64/],
  ['an older version', '1.3.9', {}, /older than 1\.4\.0/],
])('%s is refused, and nothing is changed', async (_what, version, fields, message) => {
  await expect(install(bundle(version, fields))).rejects.toThrow(message);
  expect(readUpdateRecord(places)).toBeUndefined();
  expect(await start(well)).toBe('confirmed');
  expect([slots.booted, told]).toEqual(['A', []]);
  expect(JSON.parse(readFileSync(places.release, 'utf8'))).toMatchObject({ version: '1.4.0' });
});
