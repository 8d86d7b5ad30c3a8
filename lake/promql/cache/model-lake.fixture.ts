import fc from 'fast-check';
import { canonicalLabels } from '../../model/labels.ts';
import type { RowVersions, VersionOf } from '../../model/row-versions.ts';
import { memorySource } from '../memory-source.ts';
import type { SeriesData, SeriesSource } from '../source.ts';

// A lake in memory: rows wait in a tail, are sealed into files, merged, and deleted, as on a gateway. Its versions can be
// made wrong.

interface Row {
  readonly series: number;
  readonly timeMs: number;
  readonly value: number;
}

interface File {
  readonly id: number;
  readonly rows: readonly Row[];
}

export type Change =
  | { readonly kind: 'write'; readonly series: number; readonly rows: number; readonly value: number }
  | { readonly kind: 'late'; readonly series: number; readonly backMs: number; readonly value: number }
  | { readonly kind: 'seal' | 'merge' }
  | { readonly kind: 'delete'; readonly series: number; readonly backMs: number; readonly lengthMs: number };

const series = fc.nat(7);
const value = fc.nat(50);
const backMs = fc.nat(3_600_000);
export const changes: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), series, rows: fc.integer({ min: 1, max: 40 }), value }),
  fc.record({ kind: fc.constant('late' as const), series, backMs, value }),
  fc.record({ kind: fc.constantFrom('seal' as const, 'merge' as const) }),
  fc.record({ kind: fc.constant('delete' as const), series, backMs, lengthMs: fc.nat(1_200_000) }),
);

const names = ['temperature', 'parts_total', 'wait_bucket', 'other'];
const labelsOf = (number: number) =>
  canonicalLabels([
    ['__name__', names[number >> 1] ?? ''],
    ['line', number % 2 === 0 ? 'a' : 'b'],
    ...(number >> 1 === 2 ? [['le', number % 2 === 0 ? '10' : '+Inf'] as const] : []),
  ]);

/** Between two samples of a series. */
const everyMs = 20_000;

export function createModelLake(startMs: number) {
  let tail: Row[] = [];
  let files: readonly File[] = [];
  let lastId = 0;
  let nowMs = startMs;
  const keep = (rows: readonly Row[]): File[] => (rows.length === 0 ? [] : [{ id: ++lastId, rows }]);
  const change = (one: Change): void => {
    switch (one.kind) {
      case 'write':
        for (let index = 0; index < one.rows; index++) {
          nowMs += everyMs;
          tail.push({ series: one.series, timeMs: nowMs, value: one.value + index });
          tail.push({ series: (one.series + 1) % 8, timeMs: nowMs, value: one.value + 2 * index });
        }
        break;
      case 'late':
        files = [...files, ...keep(tail)];
        tail = [{ series: one.series, timeMs: nowMs - one.backMs, value: one.value }];
        break;
      case 'seal':
        files = [...files, ...keep(tail)];
        tail = [];
        break;
      case 'merge':
        files = [...keep(files.slice(-3).flatMap(({ rows }) => rows)), ...files.slice(0, -3)];
        break;
      case 'delete': {
        const fromMs = nowMs - one.backMs;
        const goes = ({ timeMs, series: number }: Row): boolean =>
          number === one.series && timeMs >= fromMs && timeMs <= fromMs + one.lengthMs;
        files = files.flatMap((file) =>
          file.rows.some(goes) ? keep(file.rows.filter((row) => !goes(row))) : [file],
        );
        break;
      }
    }
  };
  const within = (rows: readonly Row[], fromMs: number, toMs: number): boolean =>
    rows.some(({ timeMs }) => timeMs >= fromMs && timeMs <= toMs);
  const look = (): VersionOf => {
    const [now, waiting] = [files, [...tail]];
    return (fromMs, toMs) =>
      within(waiting, fromMs, toMs)
        ? undefined
        : now.flatMap(({ id, rows }) => (within(rows, fromMs, toMs) ? [id] : [])).join('-');
  };
  return {
    change,
    nowMs: () => nowMs,
    /** Of the series that `line` restricts to; with the versions of a state that `broken` may change. */
    source: (line: string | undefined, broken: Broken = (versions) => versions): SeriesSource => {
      const rows = [...files.flatMap((file) => file.rows), ...tail];
      const found = Array.from({ length: 8 }, (_, number) => dataOf(number, rows)).filter(
        ({ labels, values }) =>
          values.length > 0 && (line === undefined || labels.some((label) => label[1] === line)),
      );
      const versions = { scope: `lake ${line}`, look: async () => look() };
      return { ...memorySource(found), versions: broken(versions) };
    },
  };
}

/** Makes versions wrong. */
export type Broken = (versions: RowVersions) => RowVersions;

function dataOf(number: number, rows: readonly Row[]): SeriesData {
  const byTime = new Map(
    rows.filter((row) => row.series === number).map(({ timeMs, value: sample }) => [timeMs, sample]),
  );
  const sorted = [...byTime].sort((a, b) => a[0] - b[0]);
  return {
    labels: labelsOf(number),
    timestampsMs: Float64Array.from(sorted, ([timeMs]) => timeMs),
    values: Float64Array.from(sorted, ([, sample]) => sample),
  };
}
