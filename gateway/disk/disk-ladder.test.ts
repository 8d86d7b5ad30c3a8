import fc from 'fast-check';
import { expect, test } from 'vitest';
import { systemClock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Gap } from '../../lake/model/gap.ts';
import { createDiskGuard } from './disk-guard.ts';
import { type DiskLadderOptions, type DiskPorts, startDiskLadder } from './disk-ladder.ts';
import type { LadderFile } from './ladder.ts';
import { pressureOf } from './pressure.ts';

const fail = (code: FirnError['code']) =>
  new FirnError({ code, operation: 'test', subject: 'test', message: `${code} as the test asked` });

let made = 0;
const file = (fields: Partial<LadderFile> = {}): LadderFile => ({
  ...{ path: `f${++made}`, signal: 'metrics', class: 'metrics', day: '2027-01-01', state: 'waiting' },
  ...{ rows: 100, bytes: 100, minTimestampUs: made, maxTimestampUs: made },
  ...fields,
});

/** A disk of 10,000 bytes with files and the list of them; the list and the gaps are what survives a crash. */
function createDisk(files: readonly LadderFile[], faults: Partial<DiskPorts> = {}) {
  const disk = {
    sizeBytes: 10_000,
    listed: [...files],
    onDisk: new Map(files.map(({ path, bytes }) => [path, bytes])),
    gaps: [] as Gap[],
    held: new Set<string>(),
    /** Rows of samples that live on in a file of another name. */
    rolledRows: 0,
    calls: [] as string[],
  };
  const forget = (paths: readonly string[]): void => {
    disk.listed = disk.listed.filter(({ path }) => !paths.includes(path));
  };
  const ports: DiskPorts = {
    measure: async () => {
      const ownBytes = [...disk.onDisk.values()].reduce((sum, bytes) => sum + bytes, 0);
      const availableBytes = disk.sizeBytes - ownBytes;
      return {
        fileSystemBytes: disk.sizeBytes,
        availableBytes,
        ownBytes,
        databaseBytes: 0,
        databaseFreeBytes: 0,
      };
    },
    files: {
      oldest: ({ state, class: of }, max) =>
        disk.listed
          .filter((one) => one.state === state && (of === undefined || one.class === of))
          .slice(0, max),
      oldestRun: (max) =>
        disk.listed.filter((one) => one.signal === 'metrics' && !disk.held.has(one.path)).slice(0, max),
      hold: (held) => {
        for (const { path } of held) disk.held.add(path);
      },
    },
    forget: async (paths) => forget(paths),
    drop: async (paths, gaps) => {
      disk.calls.push('drop');
      forget(paths);
      disk.gaps.push(...gaps);
    },
    rollUp: async (inputs) => {
      const thin = file({ rows: inputs.length, bytes: inputs.length });
      disk.onDisk.set(thin.path, thin.bytes);
      const removedRows = inputs.reduce((sum, { rows }) => sum + rows, 0) - thin.rows;
      return {
        removedRows,
        addedBytes: thin.bytes,
        commit: async (gaps) => {
          disk.calls.push('roll-up');
          forget(inputs.map(({ path }) => path));
          disk.listed.push(thin);
          disk.held.add(thin.path);
          disk.gaps.push(...gaps);
        },
        abandon: async () => void disk.onDisk.delete(thin.path),
      };
    },
    discard: async (paths) => {
      for (const path of paths) disk.onDisk.delete(path);
    },
    releaseBallast: async () => false,
    ...faults,
  };
  return { disk, ports };
}

const rowsOf = (list: readonly { rows: number | null }[]): number =>
  list.reduce((sum, { rows }) => sum + (rows ?? 0), 0);

function ladderOn(ports: DiskPorts, options: Partial<DiskLadderOptions> = {}) {
  const lines: string[] = [];
  const logger = createLogger('info', (line) => lines.push(line));
  const common = { ...ports, clock: systemClock, logger, budgetBytes: 0, reserveBytes: 1000 };
  return { lines, ladder: startDiskLadder({ ...common, checkIntervalMs: 1e9, ...options }) };
}

test('a full disk: rolls up, then drops logs, and every row that is gone is in a gap', async () => {
  const files = [
    ...Array.from({ length: 40 }, () => file()),
    ...Array.from({ length: 48 }, () => file({ signal: 'logs', class: 'logs' })),
  ];
  const { disk, ports } = createDisk(files);
  const { ladder, lines } = ladderOn(ports);
  await ladder.relieveNow();
  expect(new Set(disk.calls)).toEqual(new Set(['roll-up'])); // enough for 9,000 bytes
  disk.sizeBytes = 6000;
  await ladder.relieveNow();
  expect(new Set(disk.calls)).toEqual(new Set(['roll-up', 'drop']));
  expect(rowsOf(disk.listed) + rowsOf(disk.gaps)).toBe(rowsOf(files));
  const gapsOf = (kind: Gap['kind']) => disk.gaps.filter((gap) => gap.kind === kind);
  for (const gap of gapsOf('rollup')) expect(gap).toMatchObject({ signal: 'metrics', reason: 'disk-budget' });
  expect(rowsOf(gapsOf('rollup'))).toBe(ladder.status.rolledUpRows);
  expect(gapsOf('gap')).toMatchObject([
    { signal: 'logs', class: 'logs', reason: 'disk-budget', rows: ladder.status.droppedRows },
  ]);
  expect([...disk.onDisk.keys()].sort()).toEqual(disk.listed.map(({ path }) => path).sort());
  expect(lines.filter((line) => line.includes('dropped'))).toHaveLength(1);
  await ladder[Symbol.asyncDispose]();
});

test('without DuckDB, or when a roll-up fails, it goes on to dropping', async () => {
  for (const code of ['unsupported', 'corrupt'] as const) {
    const { disk, ports } = createDisk(
      Array.from({ length: 85 }, () => file()),
      { rollUp: () => Promise.reject(fail(code)) },
    );
    const { ladder } = ladderOn(ports);
    await ladder.relieveNow();
    expect(disk.calls).toEqual(['drop']);
    expect(rowsOf(disk.listed) + rowsOf(disk.gaps)).toBe(8500);
    await ladder[Symbol.asyncDispose]();
  }
});

test('files that a roll-up would not make smaller are left alone', async () => {
  const asked: string[] = [];
  const { disk, ports } = createDisk(
    Array.from({ length: 75 }, () => file()),
    {
      rollUp: async (inputs) => {
        asked.push(...inputs.map(({ path }) => path));
        return 'few';
      },
    },
  );
  const { ladder } = ladderOn(ports);
  for (let round = 0; round < 3; round++) await ladder.relieveNow();
  expect([asked.length, new Set(asked).size, disk.listed.length]).toEqual([75, 75, 75]);
  await ladder[Symbol.asyncDispose]();
});

test('a file that is shipped at the same moment is looked at again', async () => {
  const files = Array.from({ length: 85 }, () => file({ signal: 'logs', class: 'logs' }));
  let conflicts = 0;
  const { disk, ports } = createDisk(files);
  const { drop } = ports;
  const { ladder } = ladderOn({
    ...ports,
    drop: (paths, gaps) => (conflicts++ === 0 ? Promise.reject(fail('conflict')) : drop(paths, gaps)),
  });
  await ladder.relieveNow();
  expect([conflicts, rowsOf(disk.listed) + rowsOf(disk.gaps)]).toEqual([2, 8500]);
  await ladder[Symbol.asyncDispose]();
});

test('on a disk that others have filled, the ballast makes room for the transaction', async () => {
  const { disk, ports } = createDisk(
    Array.from({ length: 85 }, () => file({ signal: 'logs', class: 'logs' })),
  );
  const { drop } = ports;
  let [ballast, released] = [true, 0];
  const { ladder } = ladderOn({
    ...ports,
    drop: (paths, gaps) => (ballast ? Promise.reject(fail('unavailable')) : drop(paths, gaps)),
    releaseBallast: async () => {
      ballast = false;
      released++;
      return true;
    },
  });
  await ladder.relieveNow();
  expect([released, disk.calls]).toEqual([1, ['drop']]);
  await ladder[Symbol.asyncDispose]();
});

/** Stops everything at the nth effect, as a power cut does, and starts again as the gateway does. */
test('a crash at any effect: no row is missing without a gap, none is there twice', async () => {
  const kinds = fc.array(fc.constantFrom('metrics' as const, 'logs' as const), {
    minLength: 60,
    maxLength: 95,
  });
  await fc.assert(
    fc.asyncProperty(
      kinds,
      fc.integer({ min: 1, max: 12 }),
      fc.boolean(),
      fc.integer({ min: 4000, max: 9000 }),
      async (signals, crashAt, before, sizeBytes) => {
        const files = signals.map((signal) => file({ signal, class: signal }));
        const { disk, ports } = createDisk(files);
        disk.sizeBytes = sizeBytes;
        let effects = 0;
        const cut =
          <A extends unknown[], R>(effect: (...args: A) => Promise<R>) =>
          async (...args: A) => {
            if (effects >= crashAt) throw new Error('no power');
            const last = ++effects === crashAt;
            if (last && before) throw new Error('no power');
            const result = await effect(...args);
            if (last) throw new Error('no power');
            return result;
          };
        const crashing: DiskPorts = {
          ...ports,
          drop: cut(ports.drop),
          discard: cut(ports.discard),
          rollUp: cut(async (inputs) => {
            const rolled = await ports.rollUp(inputs);
            if (rolled === 'few') return rolled;
            return { ...rolled, commit: cut(rolled.commit), abandon: cut(rolled.abandon) };
          }),
        };
        const { ladder } = ladderOn(crashing);
        await ladder.relieveNow().catch(() => undefined);
        await ladder[Symbol.asyncDispose]();
        // The next start removes what nothing names (leftovers.ts).
        for (const path of disk.onDisk.keys())
          if (!disk.listed.some((one) => one.path === path)) disk.onDisk.delete(path);
        for (const { path } of disk.listed) expect(disk.onDisk.has(path)).toBe(true);
        expect(rowsOf(disk.listed) + rowsOf(disk.gaps)).toBe(rowsOf(files));
        const { ladder: next } = ladderOn(ports);
        await next.relieveNow();
        await next[Symbol.asyncDispose]();
        expect(rowsOf(disk.listed) + rowsOf(disk.gaps)).toBe(rowsOf(files));
      },
    ),
    { numRuns: 300 },
  );
});

test('at the reserve rows are refused, and let in again when there is room', () => {
  let short = 0;
  const guard = createDiskGuard(() => short++);
  const measure = (availableBytes: number) =>
    guard.measured(
      pressureOf(
        { fileSystemBytes: 1e6, availableBytes, ownBytes: 1e5, databaseBytes: 0, databaseFreeBytes: 0 },
        { budgetBytes: 0, reserveBytes: 50_000 },
      ),
    );
  guard.admit(1e9); // nothing is known yet
  measure(80_000);
  for (let index = 0; index < 10; index++) guard.admit(1000);
  expect(short).toBeGreaterThan(0);
  const refused = (() => {
    try {
      guard.admit(1000);
    } catch (error) {
      return error;
    }
  })();
  expect(hasCode(refused, 'unavailable') && refused.subject).toBe('disk.reserveBytes');
  measure(50_500); // a little room: not yet
  expect(() => guard.admit(1)).toThrow(FirnError);
  measure(60_000);
  guard.admit(1);
  expect(guard.status.refusing).toBe(false);
});
