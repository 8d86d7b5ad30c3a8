import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { StreamClass } from '../../lake/model/stream-class.ts';
import { type FileState, type LadderFile, type LadderFiles, ladderDefaults, nextStep } from './ladder.ts';
import { type DiskPressure, type DiskUsage, pressureOf, reserveOf } from './pressure.ts';

const MEBIBYTE = 1024 * 1024;
const GIBIBYTE = 1024 * MEBIBYTE;
const limits = { budgetBytes: 0, reserveBytes: 0 };

test.each([
  [100 * GIBIBYTE, 256 * MEBIBYTE],
  [GIBIBYTE, Math.floor(GIBIBYTE * 0.05)],
])('the reserve of %d bytes is 5 %%, at most 256 MiB', (fileSystemBytes, expected) => {
  expect(reserveOf(limits, fileSystemBytes)).toBe(expected);
  expect(reserveOf({ ...limits, reserveBytes: 7 }, fileSystemBytes)).toBe(7);
});

const usage = (fields: Partial<DiskUsage>): DiskUsage => ({
  fileSystemBytes: 1000,
  availableBytes: 500,
  ownBytes: 400,
  databaseBytes: 0,
  databaseFreeBytes: 0,
  ...fields,
});

test.each<
  [string, Partial<DiskUsage>, { budgetBytes?: number; reserveBytes?: number }, Partial<DiskPressure>]
>([
  ['what is free counts', {}, { reserveBytes: 100 }, { budgetBytes: 800, ratio: 0.5, headroomBytes: 400 }],
  [
    'a budget is tighter',
    {},
    { budgetBytes: 500, reserveBytes: 100 },
    { ratio: 0.8, boundBy: 'disk.budgetBytes' },
  ],
  [
    'the file system is tighter',
    { availableBytes: 150 },
    { budgetBytes: 500, reserveBytes: 100 },
    { budgetBytes: 450, boundBy: 'disk.reserveBytes' },
  ],
  [
    'a large disk that is full of something else does not make a small gateway drop data',
    { fileSystemBytes: 1e12, availableBytes: 5e10, ownBytes: 1e6 },
    {},
    { boundBy: 'disk.reserveBytes' },
  ],
  ['the reserve is touched', { availableBytes: 60 }, { reserveBytes: 100 }, { headroomBytes: -40 }],
  [
    'free pages of the database are room',
    { availableBytes: 60, databaseFreeBytes: 90 },
    { reserveBytes: 100 },
    { headroomBytes: 50 },
  ],
])('%s', (_, measured, set, expected) => {
  const pressure = pressureOf(usage(measured), { ...limits, ...set });
  expect(pressure).toMatchObject(expected);
  if (measured.ownBytes === 1e6) expect(pressure.ratio).toBeLessThan(0.001);
});

/** Files in the order in which they were received. */
function filesOf(list: readonly LadderFile[]): LadderFiles {
  return {
    oldest: ({ state, class: of }, max) =>
      list.filter((one) => one.state === state && (of === undefined || one.class === of)).slice(0, max),
    oldestRun: (max) =>
      list
        .filter((one) => one.state === 'waiting' && one.class === 'metrics' && one.signal === 'metrics')
        .filter(({ path }) => !path.includes('rolled'))
        .slice(0, max),
  };
}
let made = 0;
const file = (state: FileState, of: StreamClass, fields: Partial<LadderFile> = {}): LadderFile => ({
  ...{ path: `f${++made}`, signal: of === 'logs' ? 'logs' : 'metrics', class: of, day: '2027-01-01', state },
  ...{ rows: 100, bytes: 10, minTimestampUs: made, maxTimestampUs: made + 1 },
  ...fields,
});
const at = (ratio: number, fields: Partial<DiskPressure> = {}): DiskPressure => ({
  filesRatio: ratio,
  ...{
    ratio,
    ownBytes: ratio * 1000,
    budgetBytes: 1000,
    headroomBytes: 1000 - ratio * 1000,
    freeBytes: 1000,
  },
  ...{ boundBy: 'disk.reserveBytes', ...fields },
});
const step = (ratio: number, files: readonly LadderFile[], fields?: Partial<DiskPressure>) =>
  nextStep(at(ratio, fields), filesOf(files), ladderDefaults);

const states: FileState[] = ['committed', 'shipped', 'refused', 'composed', 'uploaded', 'waiting'];
const all = states.flatMap((state) => [file(state, 'logs'), file(state, 'metrics'), file(state, 'alarms')]);
const without = (...gone: FileState[]) => all.filter(({ state }) => !gone.includes(state));
const rolled = (files: readonly LadderFile[]) => files.map((one) => ({ ...one, path: `${one.path}-rolled` }));

test('the steps in their order', () => {
  expect(step(0.69, all)).toBeUndefined();
  expect(step(0.71, all)).toMatchObject({ kind: 'remove-copies', state: 'committed' });
  expect(step(0.95, all)).toMatchObject({ kind: 'remove-copies', state: 'committed' });
  expect(step(0.79, without('committed'))).toBeUndefined();
  expect(step(0.81, without('committed'))).toMatchObject({ kind: 'roll-up' });
  expect(step(0.95, without('committed'))).toMatchObject({ kind: 'roll-up' });
  const left = rolled(without('committed'));
  expect(step(0.89, left)).toBeUndefined();
  // What the store has goes before what is nowhere else.
  expect(step(0.91, left)).toMatchObject({ kind: 'remove-copies', state: 'shipped' });
  const dropped: string[] = [];
  let rest = left.filter(({ state }) => state !== 'shipped');
  expect(step(0.91, rest)).toMatchObject({ kind: 'remove-copies', state: 'refused' });
  rest = rest.filter(({ state }) => state !== 'refused');
  for (let next = step(2, rest); next !== undefined; next = step(2, rest)) {
    const paths = new Set(next.files.map(({ path }) => path));
    dropped.push(...next.files.map((one) => `${next.kind} ${one.state} ${one.class}`));
    rest = rest.filter(({ path }) => !paths.has(path));
  }
  expect(dropped).toEqual([
    'drop waiting logs',
    'drop waiting metrics',
    'drop waiting alarms',
    'drop uploaded logs',
    'drop uploaded metrics',
    'drop uploaded alarms',
  ]);
  // What a manifest on its way names is never touched.
  expect(new Set(rest.map(({ state }) => state))).toEqual(new Set(['composed']));
});

test('a step takes the oldest, and little more than it must', () => {
  const logs = Array.from({ length: 50 }, () => file('waiting', 'logs'));
  expect(step(0.95, logs)?.files).toEqual(logs.slice(0, 7)); // 950 of 1000, to 880
  const copies = Array.from({ length: 2000 }, () => file('committed', 'logs', { bytes: 1 }));
  expect(step(1.2, copies)?.files).toEqual(copies.slice(0, 500));
});

test('alarms are not dropped for rows that are not sealed yet', () => {
  const alarms = [file('waiting', 'alarms')];
  expect(step(1.2, alarms, { filesRatio: 0.5 })).toBeUndefined();
  expect(step(1.2, [...alarms, file('waiting', 'metrics')], { filesRatio: 0.5, freeBytes: 0 })).toMatchObject(
    {
      kind: 'drop',
      class: 'metrics',
    },
  );
  expect(step(1.2, alarms)).toMatchObject({ kind: 'drop', class: 'alarms' });
});

test('a roll-up keeps within its limits and the room there is', () => {
  const files = [
    file('waiting', 'metrics'),
    file('waiting', 'alarms'),
    file('waiting', 'metrics'),
    file('waiting', 'metrics', { rows: ladderDefaults.rollUpRowsMax }),
    file('waiting', 'metrics'),
  ];
  expect(step(0.85, files)?.files).toEqual([files[0], files[2]]);
  expect(step(0.85, files, { freeBytes: 20 })?.files).toEqual([files[0]]);
  expect(step(0.85, files, { freeBytes: 19 })).toBeUndefined();
  // No room even for that: dropping needs none.
  expect(step(0.95, files, { freeBytes: 0 })).toMatchObject({ kind: 'drop', class: 'metrics' });
});

test('whatever there is: only the lowest class is dropped, the oldest first, and never without need', () => {
  const some = fc.array(
    fc.record({
      state: fc.constantFrom(...states),
      of: fc.constantFrom('alarms' as const, 'metrics' as const, 'logs' as const),
    }),
    { maxLength: 30 },
  );
  fc.assert(
    fc.property(some, fc.double({ min: 0, max: 1.5, noNaN: true }), (kinds, ratio) => {
      const files = kinds.map(({ state, of }) => file(state, of));
      const next = step(ratio, files);
      if (next === undefined) {
        const costly = files.filter(({ state }) => state !== 'composed');
        if (ratio >= 0.9) expect(costly).toEqual([]);
        return;
      }
      expect(ratio).toBeGreaterThanOrEqual(0.7);
      const kept = files.filter((one) => !next.files.includes(one));
      if (next.kind !== 'drop') return;
      expect(ratio).toBeGreaterThanOrEqual(0.9);
      const rank = (of: StreamClass) => ['logs', 'metrics', 'alarms'].indexOf(of);
      const [first] = next.files;
      for (const one of kept.filter(({ state }) => state === first?.state)) {
        expect(rank(one.class)).toBeGreaterThanOrEqual(rank(next.class));
        if (one.class === next.class)
          expect(files.indexOf(one)).toBeGreaterThan(files.indexOf(next.files.at(-1) as LadderFile));
      }
    }),
  );
});
