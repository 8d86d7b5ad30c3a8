import { dayOfUs, type TableSchema } from '../../lake/schema/tables.ts';
import type { Prune } from '../../lake/tables.ts';
import { decodeLong } from '../catalog/bounds.ts';
import { fieldIdOf } from '../catalog/initial-metadata.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import type { ManifestFile } from '../catalog/manifest-list.ts';
import type { TableMetadata } from '../catalog/metadata.ts';
import type { FileIndex, IndexedFile } from './file-index.ts';

// Which manifests and files can hold a row of a query. Whatever is unknown about one keeps it in.

/** What showed that a file holds no row of a query; in the order in which they are looked at. */
export type PruneReason = 'partition' | 'timestamp' | 'name' | 'series' | 'trace' | 'bloom';

/** False when no file of the manifest can hold a row. */
export function manifestMayMatch(manifest: ManifestFile, metadata: TableMetadata, prune: Prune): boolean {
  if (!manifest.days) return true;
  const spec = metadata.partitionSpecs.find((each) => each['spec-id'] === manifest.specId);
  if (spec?.fields.length !== 1 || spec.fields[0]?.transform !== 'day') return true;
  return daysOverlap(manifest.days.first, manifest.days.last, prune);
}

/** Says why a data file holds no row of a query, undefined when it may; made once for a query. */
export function fileFilter(schema: TableSchema, prune: Prune): (file: DataFile) => PruneReason | undefined {
  const timestamp = fieldIdOf(schema, 'timestamp');
  const from = prune.fromUs === undefined ? undefined : BigInt(Math.floor(prune.fromUs));
  const to = prune.toUs === undefined ? undefined : BigInt(Math.ceil(prune.toUs));
  const tests: [PruneReason, (file: DataFile) => boolean][] = [];
  if (from !== undefined || to !== undefined)
    tests.push(
      ['partition', ({ day }) => day === undefined || daysOverlap(day, day, prune)],
      ['timestamp', (file) => longsOverlap(file, timestamp, from, to)],
    );
  const { name, seriesId, traceId } = prune;
  const column = (named: string | undefined) => schema.columns.find((each) => each.name === named)?.fieldId;
  const ofName = column('name');
  if (name !== undefined && ofName !== undefined) {
    const value = Buffer.from(name);
    tests.push(['name', (file) => mayHold(file, ofName, value)]);
  }
  const ofSeries = column(schema.seriesColumn);
  if (seriesId !== undefined && ofSeries !== undefined)
    tests.push(['series', (file) => longsOverlap(file, ofSeries, seriesId, seriesId)]);
  const ofTrace = column('trace_id');
  if (traceId !== undefined && ofTrace !== undefined) {
    const value = Buffer.from(traceId);
    tests.push(['trace', (file) => mayHold(file, ofTrace, value)]);
  }
  return (file) => {
    for (const [reason, may] of tests) if (!may(file)) return reason;
    return undefined;
  };
}

/**
 * The same by what the file itself says at its end, for ids that bounds tell little about; undefined when the query asks
 * for none.
 */
export function indexFilter(
  schema: TableSchema,
  { seriesId, traceId }: Prune,
  index: FileIndex,
): ((file: IndexedFile) => Promise<boolean>) | undefined {
  const asked = [
    [schema.seriesColumn, seriesId],
    ['trace_id', traceId],
  ] as const;
  const tests = asked.flatMap(([name, value]) => {
    const column = schema.columns.find((each) => each.name === name);
    return column && value !== undefined ? [{ column, value }] : [];
  });
  if (tests.length === 0) return undefined;
  return async (file) => {
    for (const { column, value } of tests) if (!(await index.mayHold(file, column, value))) return false;
    return true;
  };
}

function longsOverlap(
  { lowerBounds, upperBounds }: DataFile,
  fieldId: number,
  from: bigint | undefined,
  to: bigint | undefined,
): boolean {
  const first = lowerBounds.get(fieldId);
  const last = upperBounds.get(fieldId);
  if (to !== undefined && first && decodeLong(first) > to) return false;
  return !(from !== undefined && last && decodeLong(last) < from);
}

/** Text bounds compare as UTF-8 bytes. */
function mayHold(file: DataFile, fieldId: number, value: Uint8Array): boolean {
  const lower = file.lowerBounds.get(fieldId);
  const upper = file.upperBounds.get(fieldId);
  if (lower && compareBytes(value, lower) < 0) return false;
  return !(upper && compareBytes(value, upper) > 0);
}

/** As Buffer.compare, whose call costs more than the few bytes of a bound. */
function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = (a[at] ?? 0) - (b[at] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function daysOverlap(first: number, last: number, { fromUs, toUs }: Prune): boolean {
  return (fromUs === undefined || last >= dayOfUs(fromUs)) && (toUs === undefined || first <= dayOfUs(toUs));
}
