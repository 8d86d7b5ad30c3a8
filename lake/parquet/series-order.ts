import { FirnError } from '../base/errors.ts';
import type { Signal } from '../model/batch.ts';
import { labelValue, parseLabelsJson } from '../model/labels.ts';

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
export function rankSeries(
  signal: Signal,
  ids: readonly bigint[],
  labelsOf: ReadonlyMap<bigint, string>,
): RankedSeries[] {
  const series = ids.map((id): RankedSeries => {
    const labels = labelsOf.get(id);
    if (labels === undefined) throw withoutLabels(signal, id);
    return { id, labels, name: signal === 'metrics' ? nameOf(labels) : '' };
  });
  return series.sort((a, b) => compareUtf8(a.name, b.name) || (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** The metric name in canonical labels JSON. Lone surrogates, which no file can hold, become U+FFFD. */
export function nameOf(labels: string): string {
  return labelValue(parseLabelsJson(labels), '__name__').toWellFormed();
}

/** Order of the UTF-8 bytes, as Parquet, Iceberg, SQLite and DuckDB compare; JavaScript compares UTF-16 units. */
export function compareUtf8(a: string, b: string): number {
  if (a === b) return 0;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function withoutLabels(signal: Signal, id: bigint): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'write segment',
    subject: 'labels',
    message: `no labels are stored for ${signal} id ${id}`,
  });
}
