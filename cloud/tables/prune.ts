import { dayOfUs, type TableSchema } from '../../lake/schema/tables.ts';
import type { Prune } from '../../lake/tables.ts';
import { decodeLong } from '../catalog/bounds.ts';
import { fieldIdOf } from '../catalog/initial-metadata.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import type { ManifestFile } from '../catalog/manifest-list.ts';
import type { TableMetadata } from '../catalog/metadata.ts';

// Which manifests and files can hold a row of a query. Whatever is unknown about one keeps it in.

/** False when no file of the manifest can hold a row. */
export function manifestMayMatch(manifest: ManifestFile, metadata: TableMetadata, prune: Prune): boolean {
  if (!manifest.days) return true;
  const spec = metadata.partitionSpecs.find((each) => each['spec-id'] === manifest.specId);
  if (spec?.fields.length !== 1 || spec.fields[0]?.transform !== 'day') return true;
  return daysOverlap(manifest.days.first, manifest.days.last, prune);
}

/** A test for data files, made once for a query. */
export function fileFilter(schema: TableSchema, prune: Prune): (file: DataFile) => boolean {
  const timestamp = fieldIdOf(schema, 'timestamp');
  const named = schema.columns.find(({ name }) => name === 'name');
  const name = prune.name === undefined || !named ? undefined : Buffer.from(prune.name);
  const from = prune.fromUs === undefined ? undefined : BigInt(Math.floor(prune.fromUs));
  const to = prune.toUs === undefined ? undefined : BigInt(Math.ceil(prune.toUs));
  return (file) => {
    if (file.day !== undefined && !daysOverlap(file.day, file.day, prune)) return false;
    const first = file.lowerBounds.get(timestamp);
    const last = file.upperBounds.get(timestamp);
    if (to !== undefined && first && decodeLong(first) > to) return false;
    if (from !== undefined && last && decodeLong(last) < from) return false;
    return name === undefined || !named || mayHold(file, named.fieldId, name);
  };
}

/** Text bounds compare as UTF-8 bytes. */
function mayHold(file: DataFile, fieldId: number, value: Uint8Array): boolean {
  const lower = file.lowerBounds.get(fieldId);
  const upper = file.upperBounds.get(fieldId);
  if (lower && Buffer.compare(value, lower) < 0) return false;
  return !(upper && Buffer.compare(value, upper) > 0);
}

function daysOverlap(first: number, last: number, { fromUs, toUs }: Prune): boolean {
  return (fromUs === undefined || last >= dayOfUs(fromUs)) && (toUs === undefined || first <= dayOfUs(toUs));
}
