import type { ManifestSegment } from '../../lake/model/manifest.ts';
import type { TableName } from '../../lake/model/table-name.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { encodeBound } from './bounds.ts';
import { segmentSortOrderId } from './initial-metadata.ts';
import type { Locations } from './location.ts';
import type { DataFile } from './manifest-file.ts';

/** What a data file's entry is made of. */
type Segment = Pick<ManifestSegment, 'key' | 'day' | 'rows' | 'bytes' | 'bounds'> & {
  readonly signal: TableName;
};

/** A segment as Iceberg knows it. Throws SyntaxError when a bound of a whole-number column is not a whole number. */
export function dataFileOf(segment: Segment, locations: Locations): DataFile {
  const { columns, boundColumns } = tableSchemas[segment.signal];
  const nullCounts = new Map<number, number>();
  const lowerBounds = new Map<number, Uint8Array>();
  const upperBounds = new Map<number, Uint8Array>();
  for (const { name, fieldId, type, required } of columns) {
    if (required) nullCounts.set(fieldId, 0);
    const given = boundColumns.includes(name) ? segment.bounds[name] : undefined;
    if (!given) continue;
    nullCounts.set(fieldId, given.nulls);
    const lower = given.min === undefined ? undefined : encodeBound(type, given.min, 'lower');
    const upper = given.max === undefined ? undefined : encodeBound(type, given.max, 'upper');
    if (lower) lowerBounds.set(fieldId, lower);
    if (upper) upperBounds.set(fieldId, upper);
  }
  return {
    path: locations.of(segment.key),
    format: 'PARQUET',
    day: Date.parse(`${segment.day}T00:00:00Z`) / 86_400_000,
    rows: segment.rows,
    bytes: segment.bytes,
    valueCounts: new Map(columns.map(({ fieldId }) => [fieldId, segment.rows])),
    nullCounts,
    lowerBounds,
    upperBounds,
    sortOrderId: segmentSortOrderId,
  };
}
