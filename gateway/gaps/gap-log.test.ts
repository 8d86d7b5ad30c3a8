import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Clock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Gap } from '../../lake/model/gap.ts';
import { type GapLogOptions, startGapLog } from './gap-log.ts';
import { mergeGaps, variousReasons } from './merge-gaps.ts';

const gap = (fields: Partial<Gap> = {}): Gap => ({
  ...{ signal: 'metrics', class: 'metrics', kind: 'gap', reason: 'queue-full', detail: null },
  ...{ fromUs: 0, toUs: 0, rows: 1 },
  ...fields,
});
const second = 1_000_000;
const limits = { mergeWindowUs: 60 * second, gapsMax: 100 };

test('gaps that are near become one, others stay apart', () => {
  const one = gap({ fromUs: 0, toUs: 10 * second, rows: 5 });
  expect(mergeGaps([gap({ fromUs: 70 * second, toUs: 71 * second, rows: 2 }), one], limits)).toEqual([
    gap({ fromUs: 0, toUs: 71 * second, rows: 7 }),
  ]);
  for (const other of [
    gap({ fromUs: 71 * second, toUs: 72 * second }),
    gap({ signal: 'logs' }),
    gap({ class: 'alarms' }),
    gap({ kind: 'rollup' }),
    gap({ reason: 'disk-budget' }),
    gap({ detail: 'x' }),
    gap({ rows: null }),
  ])
    expect(mergeGaps([one, other], limits)).toHaveLength(2);
});

const gaps = fc.array(
  fc.record({
    signal: fc.constantFrom('metrics' as const, 'logs' as const),
    class: fc.constantFrom('alarms' as const, 'metrics' as const),
    kind: fc.constantFrom('gap' as const, 'rollup' as const),
    reason: fc.constantFrom('a', 'b', 'c'),
    fromUs: fc.integer({ min: 0, max: 1000 * second }),
    toUs: fc.integer({ min: 0, max: 100 * second }),
    rows: fc.option(fc.integer({ min: 0, max: 9 })),
    detail: fc.option(fc.constantFrom('x', 'y')),
  }),
  { maxLength: 60 },
);

test('whatever is merged: no row and no moment is left out, and there are never too many', () => {
  fc.assert(
    fc.property(gaps, fc.integer({ min: 16, max: 40 }), (recorded, gapsMax) => {
      const before = recorded.map((one) => ({ ...one, toUs: one.fromUs + one.toUs }));
      const after = mergeGaps(before, { mergeWindowUs: second, gapsMax });
      expect(after.length).toBeLessThanOrEqual(gapsMax);
      const rowsOf = (list: readonly Gap[]) => list.reduce((sum, { rows }) => sum + (rows ?? 0), 0);
      expect(rowsOf(after)).toBe(rowsOf(before));
      for (const one of before)
        expect(
          after.some(
            (other) =>
              other.signal === one.signal &&
              other.class === one.class &&
              other.kind === one.kind &&
              [one.reason, variousReasons].includes(other.reason) &&
              (other.rows === null) === (one.rows === null) &&
              other.fromUs <= one.fromUs &&
              other.toUs >= one.toUs,
          ),
        ).toBe(true);
    }),
  );
});

/** Time stands still but for `tick`. */
function tickingClock(): { clock: Clock; tick(): void } {
  let wake = (): void => undefined;
  const sleep = (_: number, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      wake = resolve;
      signal?.addEventListener('abort', () => reject(signal.reason));
    });
  return { clock: { nowMs: () => 0, monotonicMs: () => 0, sleep }, tick: () => wake() };
}

function createLog(options: Partial<GapLogOptions> = {}) {
  const written: Gap[][] = [];
  const lines: string[] = [];
  const { clock, tick } = tickingClock();
  const log = startGapLog({
    write: async (batch) => void written.push([...batch]),
    clock,
    logger: createLogger('debug', (line) => lines.push(line)),
    ...options,
  });
  return { log, written, lines, tick };
}

test('one row every interval, however often it is recorded, and one line in the log', async () => {
  const { log, written, lines, tick } = createLog();
  for (let index = 0; index < 1000; index++) log.record(gap({ fromUs: index, toUs: index }));
  expect(log.status.recorded).toBe(1000);
  tick();
  await expect.poll(() => written).toEqual([[gap({ fromUs: 0, toUs: 999, rows: 1000 })]]);
  log.record(gap());
  await log[Symbol.asyncDispose]();
  expect(written[1]).toEqual([gap()]);
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain('reason=queue-full');
});

test('what can not be written waits, merges with what comes, and is written later', async () => {
  let full = true;
  const accepted: Gap[][] = [];
  const { log } = createLog({
    gapsMax: 50,
    write: async (batch) => {
      if (full) throw new Error('the disk is full');
      accepted.push([...batch]);
    },
  });
  for (let index = 0; index < 3000; index++) {
    log.record(gap({ detail: `d${index}`, fromUs: index * 1000 * second, toUs: index * 1000 * second }));
    if (index % 500 === 0) await log.flush();
  }
  expect(log.status.waiting).toBeLessThanOrEqual(100);
  await log.flush();
  expect(log.status.waiting).toBeLessThanOrEqual(50);
  full = false;
  await log[Symbol.asyncDispose]();
  expect(accepted.flat().reduce((sum, { rows }) => sum + (rows ?? 0), 0)).toBe(3000);
});
