import { FirnError } from '../base/errors.ts';
import type { TableName } from '../model/table-name.ts';
import { hasSeriesName } from './row-table.ts';

export interface RankedSeries {
  readonly id: bigint;
  /** Metric name; '' for log streams and for series without one. */
  readonly name: string;
  readonly labels: string;
}

/**
 * The series in the order that files are sorted by: metrics by name and id, log streams by id. Throws FirnError
 * `corrupt` when an id has no labels.
 */
export const rankSeries = (
  signal: TableName,
  ids: Iterable<bigint>,
  labelsOf: ReadonlyMap<bigint, string>,
): RankedSeries[] => seriesOf(signal, ids, labelsOf).sort(compareSeries);

/** Names and labels of the series, in the order of the ids; throws as `rankSeries`. */
export function seriesOf(
  signal: TableName,
  ids: Iterable<bigint>,
  labelsOf: ReadonlyMap<bigint, string>,
): RankedSeries[] {
  const hasName = hasSeriesName(signal);
  return Array.from(ids, (id) => {
    const labels = labelsOf.get(id);
    if (labels === undefined) throw withoutLabels(signal, id);
    return { id, labels, name: hasName ? nameOf(labels) : '' };
  });
}

/** Of different series. */
export const compareSeries = (a: RankedSeries, b: RankedSeries): number =>
  a.name === b.name ? (a.id < b.id ? -1 : 1) : compareUtf8(a.name, b.name);

const nameFirst = '{"__name__":"';

/** The metric name in labels JSON. Lone surrogates, which no file can hold, become U+FFFD. */
export function nameOf(labels: string): string {
  // Mostly its label is the first, and its value needs no escapes.
  if (labels.startsWith(nameFirst)) {
    const end = labels.indexOf('"', nameFirst.length);
    const text = labels.slice(nameFirst.length, end);
    if (!text.includes('\\')) return text.toWellFormed();
  }
  const { __name__: name } = JSON.parse(labels) as { __name__?: string };
  return (name ?? '').toWellFormed();
}

/** Order of the UTF-8 bytes, as Parquet, Iceberg, SQLite and DuckDB compare. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let index = 0; index < length; index++) {
    const [left, right] = [a.charCodeAt(index), b.charCodeAt(index)];
    if (left !== right) return codePointRank(left) - codePointRank(right);
  }
  return a.length - b.length;
}

/** UTF-16 puts surrogates, which stand for the highest code points, before U+E000 to U+FFFF. */
const codePointRank = (unit: number): number =>
  unit >= 0xe000 ? unit - 0x800 : unit >= 0xd800 ? unit + 0x2000 : unit;

function withoutLabels(signal: TableName, id: bigint): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'write segment',
    subject: 'labels',
    message: `no labels are stored for ${signal} id ${id}`,
  });
}
