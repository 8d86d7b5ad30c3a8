import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { openWalReader } from '../../gateway/wal/reader.ts';
import type { Wal } from '../../gateway/wal/wal.ts';
import {
  batchesIn,
  batchesOfTransaction,
  change,
  copyOf,
  edit,
  faultsOf,
  finish,
  flipBit,
  makeSite,
  type Outcome,
  recover,
  remove,
  type Site,
  sealWithoutCommit,
  toFormat1,
} from './damaged-log.ts';
import { seededRandom } from './lake-fixtures.ts';

// Whatever becomes of wal.db, wal.db-wal and wal.mark: the gateway starts, what is intact is there exactly once, what is
// lost is in a gap row, and no number is used twice.

let folder: string;
let crashed: Site;
let closed: Site;
const shape = { batches: 40, sealAfter: [12, 20], checkpointAfter: 30, closed: false };

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'firn-recovery-'));
  crashed = await makeSite(join(folder, 'crashed'), shape);
  closed = await makeSite(join(folder, 'closed'), { ...shape, closed: true });
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const copy = (site: Site): string => copyOf(site, join(folder, 'copy'));
const nothing: ReadonlySet<number> = new Set();
const pageBytes = 4096;
const frameBytes = pageBytes + 24;
const walHeaderBytes = 32;

function expectSound(site: Site, outcome: Outcome, mayLose: ReadonlySet<number>, what: string): void {
  const { starts, reasons } = outcome;
  expect({ what, starts, reasons, faults: faultsOf(site, outcome, mayLose) }).toEqual({
    what,
    starts,
    reasons,
    faults: [],
  });
}

test('without damage nothing is lost, and nothing is new', async () => {
  for (const site of [crashed, closed]) {
    const outcome = await recover(copy(site));
    expectSound(site, outcome, nothing, 'no damage');
    expect(outcome).toMatchObject({ starts: ['clean'], reasons: [], gaps: [], epoch: site.epoch });
  }
});

const files = ['wal.db', 'wal.db-wal', 'wal.mark'] as const;
/** Every combination of files, except none. */
const combinations = Array.from({ length: 7 }, (_, bits) =>
  files.filter((_, index) => ((bits + 1) >> index) & 1),
);

test.each(combinations.map((gone) => [gone.join(' and '), gone] as const))(
  'without %s',
  async (what, gone) => {
    const at = copy(crashed);
    const mayLose = new Set<number>();
    for (const name of gone) {
      for (const seq of batchesIn(crashed, readFileSync(join(at, name)))) mayLose.add(seq);
      remove(join(at, name));
    }
    const outcome = await recover(at);
    expectSound(crashed, outcome, mayLose, what);
    expect(outcome.epoch > crashed.epoch).toBe(what !== 'wal.mark');
  },
);

test.each(combinations.map((bad) => [bad.join(' and '), bad] as const))(
  'garbage instead of %s',
  async (what, bad) => {
    const at = copy(crashed);
    const mayLose = new Set<number>();
    const random = seededRandom(bad.length);
    for (const name of bad) {
      for (const seq of batchesIn(crashed, readFileSync(join(at, name)))) mayLose.add(seq);
      change(join(at, name), (bytes) => bytes.map(() => Math.floor(random() * 256)));
    }
    expectSound(crashed, await recover(at), mayLose, what);
  },
);

const seeds = [1, 2];

test.each(seeds)('single bits of wal.db turn over (seed %i)', async (seed) => {
  for (const site of [crashed, closed]) {
    const random = seededRandom(seed);
    const bytes = readFileSync(join(site.folder, 'wal.db'));
    for (let n = 0; n < 9; n++) {
      // Every third in the first page, where the schema and the header are.
      const at = Math.floor(random() * (n % 3 === 0 ? pageBytes : bytes.length));
      const page = at - (at % pageBytes);
      const folder = copy(site);
      const bit = Math.floor(random() * 8);
      flipBit(join(folder, 'wal.db'), at, bit);
      const mayLose = batchesIn(site, bytes.subarray(page, page + pageBytes));
      expectSound(site, await recover(folder), mayLose, `seed ${seed}: bit ${bit} of byte ${at} of wal.db`);
    }
  }
});

/** So that every batch is read page by page. */
const withoutHeader = (folder: string): void =>
  change(join(folder, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));

test.each(seeds)('single bits turn over in a wal.db that SQLite can not open (seed %i)', async (seed) => {
  const random = seededRandom(seed);
  const bytes = readFileSync(join(closed.folder, 'wal.db'));
  for (let n = 0; n < 9; n++) {
    const at = Math.floor(pageBytes + random() * (bytes.length - pageBytes));
    const page = at - (at % pageBytes);
    const folder = copy(closed);
    flipBit(join(folder, 'wal.db'), at, Math.floor(random() * 8));
    withoutHeader(folder);
    const mayLose = batchesIn(closed, bytes.subarray(page, page + pageBytes));
    expectSound(closed, await recover(folder), mayLose, `seed ${seed}: byte ${at}`);
  }
});

test.each(seeds)('single bits of the -wal file turn over (seed %i)', async (seed) => {
  const random = seededRandom(seed);
  const bytes = readFileSync(join(crashed.folder, 'wal.db-wal'));
  const used = walHeaderBytes + frameBytes * framesUsed(bytes);
  for (let n = 0; n < 16; n++) {
    // Some in the headers of the file and of frames, which are small.
    const frame = walHeaderBytes + frameBytes * Math.floor(random() * framesUsed(bytes));
    const places = [random() * used, random() * walHeaderBytes, frame + random() * 24];
    const at = Math.floor(places[n % 3] ?? 0);
    const bit = Math.floor(random() * 8);
    const folder = copy(crashed);
    flipBit(join(folder, 'wal.db-wal'), at, bit);
    const mayLose = batchesOfTransaction(crashed, bytes, at);
    expectSound(
      crashed,
      await recover(folder),
      mayLose,
      `seed ${seed}: bit ${bit} of byte ${at} of the -wal file`,
    );
  }
});

/** Frames of the current generation. */
function framesUsed(bytes: Buffer): number {
  let frames = 0;
  for (let start = walHeaderBytes; start + frameBytes <= bytes.length; start += frameBytes) {
    if (bytes.readBigUInt64BE(start + 8) !== bytes.readBigUInt64BE(16)) break;
    frames++;
  }
  return frames;
}

test('a bit of wal.mark turns over', async () => {
  for (const at of [4, 20, 63, 4096 + 30, 8192 + 9]) {
    const folder = copy(crashed);
    flipBit(join(folder, 'wal.mark'), at, 3);
    const outcome = await recover(folder);
    expectSound(crashed, outcome, nothing, `byte ${at} of wal.mark`);
  }
});

test.each(['wal.db', 'wal.db-wal'] as const)(
  '%s is cut short, at the end of a page and inside',
  async (name) => {
    const bytes = readFileSync(join(crashed.folder, name));
    const [head, unit] = name === 'wal.db' ? [0, pageBytes] : [walHeaderBytes, frameBytes];
    const units = name === 'wal.db' ? bytes.length / unit : framesUsed(bytes);
    for (const [part, inside] of [
      [0, 0],
      [0, 17],
      [0.1, 0],
      [0.4, 100],
      [0.6, 0],
      [0.8, 4000],
      [0.9, 0],
      [0.97, 1],
    ] as const) {
      const length = head + unit * Math.floor(units * part) + inside;
      const folder = copy(crashed);
      change(join(folder, name), (all) => all.subarray(0, length));
      const mayLose = batchesIn(crashed, bytes.subarray(length));
      // What is left of a transaction without its end was not committed, as far as anybody can say.
      if (name === 'wal.db-wal' && length > head)
        for (const seq of batchesOfTransaction(crashed, bytes, length - 1)) mayLose.add(seq);
      expectSound(crashed, await recover(folder), mayLose, `${name} of ${length} bytes`);
    }
  },
);

test('a torn tail after which nothing was acknowledged is no anomaly while the machine has not been off', async () => {
  const tear = (folder: string): void =>
    change(join(folder, 'wal.db-wal'), (bytes) => {
      const end = walHeaderBytes + frameBytes * framesUsed(bytes);
      const frame = Buffer.from(bytes.subarray(end - frameBytes, end));
      return Buffer.concat([bytes.subarray(0, end), frame.fill(7, 100)]);
    });
  const same = copy(crashed);
  tear(same);
  const outcome = await recover(same, { bootId: 'boot 1' });
  expectSound(crashed, outcome, nothing, 'torn, same boot');
  expect(outcome).toMatchObject({ starts: ['clean'], gaps: [], epoch: crashed.epoch });
  const other = copy(crashed);
  tear(other);
  const after = await recover(other);
  expectSound(crashed, after, nothing, 'torn, other boot');
  expect(after.starts).toEqual(['soft']);
  expect(after.gaps.length).toBeGreaterThan(0);
});

/** A log in which nothing can be restored any more once `isDead` says so. */
const dyingAfter = (wal: Wal, isDead: () => boolean): Wal => ({
  ...wal,
  get epoch() {
    return wal.epoch;
  },
  restore: async (part) => {
    if (isDead()) throw new Error('killed');
    await wal.restore(part);
  },
});

test('recovery that is killed after any of its steps goes on where it was', async () => {
  for (let steps = 0; ; steps++) {
    const at = copy(crashed);
    change(join(at, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
    let left = steps;
    const outcome = await recover(at, {
      work: async (wal, folder) => {
        await finish(
          dyingAfter(wal, () => left-- <= 0),
          folder,
        );
        await finish(wal, folder);
      },
    });
    expectSound(crashed, outcome, nothing, `killed after ${steps} steps`);
    if (left > 0) {
      expect(steps).toBeGreaterThan(4);
      return;
    }
  }
});

test('a log that is damaged while the one before it is being saved', async () => {
  for (const steps of [0, 1, 2, 3, 5, 7]) {
    const at = copy(crashed);
    change(join(at, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
    let left = steps;
    const work = async (wal: Wal, folder: string): Promise<void> =>
      finish(
        dyingAfter(wal, () => left-- <= 0),
        folder,
      );
    await recover(at, { work });
    change(join(at, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
    const outcome = await recover(at);
    expectSound(crashed, outcome, nothing, `damaged again after ${steps} steps`);
    expect(readdirSync(join(at, 'damaged'))).toEqual([]);
  }
}, 60_000);

test('a log that loses its end again before what was said of the first loss is sealed', async () => {
  // All that is not sealed is in the -wal file.
  const site = await makeSite(join(folder, 'in-wal'), { ...shape, checkpointAfter: 20 });
  const at = copy(site);
  const later = join(folder, 'later');
  const mayLose = batchesIn(site, readFileSync(join(at, 'wal.db-wal')));
  remove(join(at, 'wal.db-wal'));
  await recover(at, {
    work: async (wal, running) => {
      await finish(wal, running);
      copyOf({ ...site, folder: running }, later);
    },
  });
  for (const name of ['wal.db-wal', 'wal.db-shm']) remove(join(later, name));
  expectSound(site, await recover(later), mayLose, 'the -wal file is lost twice');
});

test('a log that loses its end, and with it the cursor of a job whose batches are sealed', async () => {
  for (const steps of [2, 4, 6, 8]) {
    const at = copy(crashed);
    const early = join(folder, 'early');
    change(join(at, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
    let left = steps;
    await recover(at, {
      work: async (wal, running) => {
        copyOf({ ...crashed, folder: running }, early);
        await finish(
          dyingAfter(wal, () => left-- <= 0),
          running,
        );
      },
    });
    for (const name of ['wal.db', 'wal.db-wal']) copyFileSync(join(early, name), join(at, name));
    expectSound(crashed, await recover(at), nothing, `the end is lost after ${steps} steps`);
  }
}, 60_000);

test.each([
  ['nothing else', () => undefined, []],
  ['the -wal file is lost', (at: string) => remove(join(at, 'wal.db-wal')), ['wal.db-wal']],
  ['wal.db is lost', (at: string) => remove(join(at, 'wal.db')), ['wal.db']],
  [
    'both are lost',
    (at: string) => [remove(join(at, 'wal.db')), remove(join(at, 'wal.db-wal'))],
    ['wal.db', 'wal.db-wal'],
  ],
  ['wal.db is garbage', (at: string) => change(join(at, 'wal.db'), (bytes) => bytes.fill(9, 0, 5000)), []],
] as const)('a seal was written and not committed, and %s', async (what, damage, gone) => {
  const at = copy(crashed);
  await sealWithoutCommit(at);
  // Lost batches may be in the files of the seal, which then stand for them.
  const mayLose = new Set(gone.flatMap((name) => [...batchesIn(crashed, readFileSync(join(at, name)))]));
  damage(at);
  const outcome = await recover(at);
  expectSound(crashed, outcome, mayLose, what);
});

test('a seal was committed and the mark not yet written, and then the log is lost', async () => {
  const before = copy(crashed);
  const mark = join(folder, 'old.mark');
  copyFileSync(join(before, 'wal.mark'), mark);
  const sealed = await recover(before); // seals everything
  for (const gone of [['wal.db'], ['wal.db-wal'], ['wal.db', 'wal.db-wal']]) {
    const at = copyOf({ ...crashed, folder: before }, join(folder, 'sealed'));
    copyFileSync(mark, join(at, 'wal.mark'));
    for (const name of gone) remove(join(at, name));
    const outcome = await recover(at);
    expectSound({ ...crashed, epoch: sealed.epoch }, outcome, nothing, gone.join());
  }
});

test('segments: one that is gone and one that is cut short become gaps when no table knows better', async () => {
  const at = copy(crashed);
  const segments = join(at, 'segments', 'metrics');
  const [first = '', second = ''] = readdirSync(segments).sort();
  const rowsOf = (upto: number, after: number): Set<number> =>
    new Set(
      crashed.sent
        .filter(({ seq, signal }) => signal === 'metrics' && seq > after && seq <= upto)
        .map(({ seq }) => seq),
    );
  remove(join(segments, first));
  expectSound(crashed, await recover(at), rowsOf(12, 0), 'a file is gone');

  const again = copy(crashed);
  change(join(again, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
  change(join(again, 'segments', 'metrics', second), (bytes) => bytes.subarray(0, bytes.length >> 1));
  expectSound(crashed, await recover(again), rowsOf(20, 12), 'a file is cut short');
  expect(readdirSync(join(again, 'damaged', 'segments', 'metrics'))).toEqual([second]);
});

test('what could not be read stays for a person to look at, within its limits; the rest does not', async () => {
  const at = copy(crashed);
  remove(join(at, 'wal.db-wal'));
  change(join(at, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
  await recover(at);
  const kept = readdirSync(join(at, 'damaged')).filter((name) => /^\d+-\d+$/.test(name));
  expect(kept).toHaveLength(1);
  expect(statSync(join(at, 'damaged', kept[0] ?? '', 'wal.db')).size).toBeGreaterThan(0);
  const whole = copy(crashed);
  change(join(whole, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
  await recover(whole);
  expect(readdirSync(join(whole, 'damaged'))).toEqual([]);
});

test.each([
  ['signal', `'metrjcs'`],
  ['rows', '-7'],
  ['rows', '1 << 40'],
  ['received_us', '0'],
  ['received_us', 'received_us + (1 << 50)'],
  ['mono_us', '1'],
  ['boot', '77'],
  ['crc', 'crc + 1'],
  ['payload', 'zeroblob(length(payload))'],
  ['seq', 'seq + 1000000'],
] as const)('a batch says of itself: %s = %s', async (column, value) => {
  const seqs = closed.sent.filter(({ seq }) => seq > closed.sealedSeq).map(({ seq }) => seq);
  for (const seq of [seqs[0] ?? 0, seqs[9] ?? 0, seqs.at(-1) ?? 0]) {
    const at = copy(closed);
    edit(at, `UPDATE batch SET ${column} = ${value} WHERE seq = ${seq}`);
    expectSound(closed, await recover(at), new Set([seq]), `${column} of batch ${seq}`);
  }
});

test('batches that are not there any more are missed', async () => {
  const at = copy(closed);
  edit(at, 'DELETE FROM batch WHERE seq IN (21, 30, 31)');
  expectSound(closed, await recover(at), new Set([21, 30, 31]), 'three batches are gone');
});

test('a clock that begins in 1970 does not make gaps end before they began', async () => {
  const at = copy(crashed);
  const mayLose = batchesIn(crashed, readFileSync(join(at, 'wal.db-wal')));
  remove(join(at, 'wal.db-wal'));
  expectSound(crashed, await recover(at, { nowMs: 60_000 }), mayLose, 'without -wal in 1970');
});

test('a log of the first format is carried over, and what was shipped counts as committed', async () => {
  const at = copy(closed);
  toFormat1(at);
  const outcome = await recover(at);
  expectSound(closed, outcome, nothing, 'format 1');
  expect(outcome.gaps).toEqual([]);
  using reader = openWalReader(join(at, 'wal.db'));
  const segments = reader.segments('metrics').map(({ toSeq, committed }) => [toSeq, committed] as const);
  expect(segments.filter(([toSeq]) => toSeq <= closed.sealedSeq)).toEqual([
    [12, true],
    [20, false],
  ]);
  expect(readdirSync(join(at, 'damaged'))).toEqual([]);
});

test('the checks above can fail', async () => {
  const at = copy(crashed);
  change(join(at, 'wal.db'), (bytes) => bytes.fill(0, 0, 100));
  const without = await recover(at, { work: async () => undefined });
  expect(faultsOf(crashed, without, nothing).join()).toContain('are lost although nothing touched them');
  const outcome = await recover(copy(crashed));
  const twice = { ...outcome, counts: new Map([...outcome.counts].map(([row, count]) => [row, count + 1])) };
  expect(faultsOf(crashed, twice, nothing).join()).toContain('more than once');
  const sameEpoch = { ...outcome, starts: ['soft'] };
  expect(faultsOf(crashed, sameEpoch, nothing).join()).toContain('epoch');
});

test('without checksums the checks above see what is damaged', async () => {
  vi.resetModules();
  onTestFinished(() => {
    vi.doUnmock('node:zlib');
    vi.resetModules(); // nobody else gets what was read meanwhile
  });
  vi.doMock('node:zlib', async (original) => ({ ...(await original<object>()), crc32: () => 0 }));
  const unchecked = await import('./damaged-log.ts');
  const site = await unchecked.makeSite(join(folder, 'unchecked'), { ...shape, closed: true });
  const bytes = readFileSync(join(site.folder, 'wal.db'));
  const faults: string[] = [];
  const random = seededRandom(1);
  for (let n = 0; n < 12; n++) {
    const at = unchecked.copyOf(site, join(folder, 'copy'));
    flipBit(join(at, 'wal.db'), Math.floor(pageBytes + random() * (bytes.length - pageBytes)), 2);
    withoutHeader(at);
    // Damage of any batch would be forgiven, if only a gap said so.
    const mayLose = new Set(site.sent.map(({ seq }) => seq));
    faults.push(...unchecked.faultsOf(site, await unchecked.recover(at), mayLose));
  }
  expect(faults.join()).toContain('no gap says so');
});
