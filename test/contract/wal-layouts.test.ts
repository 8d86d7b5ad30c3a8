import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { frameHeaderBytes, walHeaderBytes } from '../../gateway/wal/recovery/wal-frames.ts';
import {
  batchesIn,
  batchesOfTransaction,
  change,
  copyOf,
  edit,
  faultsOf,
  flipBit,
  makeSite,
  recover,
  remove,
  type Site,
  type SiteShape,
} from './damaged-log.ts';
import { seededRandom } from './lake-fixtures.ts';

// Where rows stand in wal.db and wal.db-wal depends on how large they are, how they were committed, what was sealed and
// when there were checkpoints. None of that may decide whether damage costs rows that it did not touch.

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'firn-layouts-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const copy = (site: Site): string => copyOf(site, join(folder, 'copy'));
const inLog = (at: string): string => join(at, 'wal.db');
const inWal = (at: string): string => join(at, 'wal.db-wal');

async function expectSound(site: Site, at: string, mayLose: ReadonlySet<number>, what: string) {
  const outcome = await recover(at);
  const { starts, reasons } = outcome;
  const faults = faultsOf(site, outcome, mayLose);
  expect({ what, starts, reasons, faults }).toEqual({ what, starts, reasons, faults: [] });
  return outcome;
}

// --- what was found

/** Batches of up to 60 KB, of which an older generation of the -wal file has images of the same pages. */
const large = {
  ...{ batches: 50, sealAfter: [31], checkpointAfter: 35, closed: false },
  rowsOf: (seq: number) => 1 + ((seq * 7919) % 2700),
};
const zeroHeader = (path: string): void => change(path, (bytes) => bytes.fill(0, 0, walHeaderBytes));

test('pages of an older generation of the -wal file are not taken for newer ones when its header is gone', async () => {
  const site = await makeSite(join(folder, 'generations'), { ...large, batchesOfCommit: 5 });
  const at = copy(site);
  zeroHeader(inWal(at));
  await expectSound(site, at, new Set(), 'the header of the -wal file');
  const again = copy(site);
  zeroHeader(inWal(again));
  change(inLog(again), (bytes) => bytes.fill(0, 0, 100));
  await expectSound(site, again, new Set(), 'both headers');
});

test.each([
  ['-wal', (at: string) => zeroHeader(inWal(at))],
  ['database', (at: string) => change(inLog(at), (bytes) => bytes.fill(0, 0, 100))],
])(
  'sealed rows do not come back when the mark is gone and the header of the %s is damaged',
  async (what, damage) => {
    const site = await makeSite(join(folder, `sealed ${what}`), {
      ...{ batches: 40, sealAfter: [14, 27], checkpointAfter: [3, 9], closed: false },
      rowsOf: (seq) => 1 + (seq % 3),
    });
    const at = copy(site);
    remove(join(at, 'wal.mark'));
    damage(at);
    await expectSound(site, at, new Set(), what);
  },
);

test('an epoch is not begun twice when only the log itself knows it', async () => {
  const site = await makeSite(join(folder, 'epoch'), { ...large, sealAfter: [], rowsOf: () => 2 });
  // As a clock that goes on from the same time again.
  edit(site.folder, `UPDATE meta SET value = '${site.epoch + 5}' WHERE key = 'epoch'`);
  const at = copy(site);
  remove(join(at, 'wal.mark'));
  change(inLog(at), (bytes) => bytes.fill(0, 0, 100));
  const { epoch } = await expectSound(site, at, new Set(), 'the mark and the header of the database');
  expect(epoch).toBeGreaterThan(site.epoch + 5);
});

test.each([
  ['the salt of its last frame', 9],
  ['the checksum of its last frame', 17],
  ['a byte of its last page that nobody uses', 0],
] as const)('a commit that the mark knows is brought back although %s is damaged', async (_, at) => {
  const site = await makeSite(join(folder, `last ${at}`), { ...large, rowsOf: (seq) => 1 + (seq % 7) });
  const path = inWal(copy(site));
  const bytes = readFileSync(path);
  const frame = walHeaderBytes + (framesUsed(bytes) - 1) * (frameHeaderBytes + 4096);
  const unused = bytes
    .subarray(frame + frameHeaderBytes + 200)
    .findIndex((_, index, all) => all.subarray(index, index + 64).every((byte) => byte === 0));
  flipBit(path, at === 0 ? frame + frameHeaderBytes + 200 + unused + 32 : frame + at, 5);
  const outcome = await expectSound(site, join(folder, 'copy'), new Set(), 'the last frame');
  expect(outcome.starts).toEqual(['hard']);
});

/** Frames of the generation that is being written. */
function framesUsed(bytes: Buffer): number {
  let frames = 0;
  for (let start = walHeaderBytes; start + 16 <= bytes.length; start += frameHeaderBytes + 4096) {
    if (bytes.readBigUInt64BE(start + 8) !== bytes.readBigUInt64BE(16)) break;
    frames++;
  }
  return frames;
}

// --- layouts and damage by chance

interface Chance {
  readonly int: (below: number) => number;
  pick<T>(list: readonly T[]): T;
}

function chanceOf(seed: number): Chance {
  const random = seededRandom(seed);
  const int = (below: number): number => Math.floor(random() * below);
  return { int, pick: <T>(list: readonly T[]) => list[int(list.length)] as T };
}

function shapeOf({ int, pick }: Chance): SiteShape {
  const scale = pick([1, 3, 10, 60, 200, 900]);
  const rows = Array.from({ length: 200 }, () => 1 + int(pick([1, scale, scale, scale * 3])));
  const batchesOfCommit = pick([1, 1, 2, 5]);
  const batches = Math.ceil((20 + int(40)) / batchesOfCommit) * batchesOfCommit;
  const some = (most: number): number[] => Array.from({ length: int(most) }, () => 1 + int(batches));
  return {
    ...{ batches, batchesOfCommit, sealAfter: some(4), checkpointAfter: some(5) },
    ...{ closed: int(8) === 0, rowsOf: (seq) => rows[seq] ?? 1, givesPagesBack: int(3) === 0 },
    pageBytes: pick([4096, 4096, 4096, 4096, 1024, 2048, 8192, 16_384]),
  };
}

interface Damage {
  /** What was done, for whoever reads a failure. */
  readonly what: string;
  /** Batches that it touched. */
  readonly touched: ReadonlySet<number>;
}

type DoDamage = (site: Site, at: string, chance: Chance, pageBytes: number) => Damage;

const walHeader: DoDamage = (_, at, { int }) => {
  const [how, byte, bit] = [int(3), int(walHeaderBytes), int(8)];
  if (how === 0) flipBit(inWal(at), byte, bit);
  else change(inWal(at), (bytes) => bytes.fill(how === 1 ? 0 : 0xa7, 0, walHeaderBytes));
  return { what: `header of the -wal file ${[how, byte, bit]}`, touched: new Set() };
};

const databaseHeader: DoDamage = (_, at) => {
  change(inLog(at), (bytes) => bytes.fill(0, 0, 100));
  return { what: 'header of the database', touched: new Set() };
};

const frame: DoDamage = (site, at, { int, pick }, pageBytes) => {
  const bytes = readFileSync(inWal(site.folder));
  const start = walHeaderBytes + int(bytes.length - walHeaderBytes);
  const end = Math.min(bytes.length, start + pick([1, 24, pageBytes]));
  change(inWal(at), (all) => all.fill(0x5a, start, end));
  const touched = [start, end - 1].flatMap((byte) => [...batchesOfTransaction(site, bytes, byte, pageBytes)]);
  return { what: `-wal file from ${start} to ${end}`, touched: new Set(touched) };
};

const frameHeader: DoDamage = (site, at, { int }, pageBytes) => {
  const bytes = readFileSync(inWal(site.folder));
  const frameBytes = frameHeaderBytes + pageBytes;
  const byte = walHeaderBytes + frameBytes * int((bytes.length - walHeaderBytes) / frameBytes) + int(24);
  flipBit(inWal(at), byte, int(8));
  return {
    what: `byte ${byte} of the -wal file`,
    touched: batchesOfTransaction(site, bytes, byte, pageBytes),
  };
};

const page: DoDamage = (site, at, { int }, pageBytes) => {
  const bytes = readFileSync(inLog(site.folder));
  const start = pageBytes * int(bytes.length / pageBytes);
  if (int(2) === 0) flipBit(inLog(at), start + int(pageBytes), int(8));
  else change(inLog(at), (all) => all.fill(0x5a, start, start + pageBytes));
  const touched = batchesIn(site, bytes.subarray(start, start + pageBytes));
  return { what: `page at ${start} of the database`, touched };
};

const mark: DoDamage = (_, at) => {
  change(join(at, 'wal.mark'), (bytes) => bytes.fill(0x33));
  return { what: 'the mark', touched: new Set() };
};

test.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'a log of a layout by chance, damaged by chance (seed %i)',
  async (seed) => {
    const chance = chanceOf(seed);
    const shape = shapeOf(chance);
    const { pageBytes = 4096 } = shape;
    const site = await makeSite(join(folder, `seed ${seed}`), shape);
    const ofBoth = [databaseHeader, page, mark];
    const kinds = shape.closed ? ofBoth : [...ofBoth, walHeader, walHeader, frame, frameHeader];
    for (let round = 0; round < 6; round++) {
      const at = copy(site);
      const first = chance.pick(kinds.filter((kind) => kind !== mark));
      // A mark that is gone leaves nothing to go by but what the damaged log says of itself, which is then to be whole.
      const done = [first, ...(chance.int(2) === 0 ? [chance.pick(kinds)] : [])].map((damage) =>
        damage(site, at, chance, pageBytes),
      );
      const touched = new Set(done.flatMap((damage) => [...damage.touched]));
      await expectSound(site, at, touched, `seed ${seed}: ${done.map(({ what }) => what).join(', ')}`);
    }
  },
);
