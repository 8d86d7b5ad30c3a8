import { type AvroLong, avroWriter, readAvro } from './avro.ts';
import { decodeInt, encodeInt } from './bounds.ts';
import { exactId } from './exact-json.ts';
import type { ManifestEntry } from './manifest-file.ts';

// Manifest lists (specification, "Manifest Lists"): the manifests of one snapshot, with enough about each to skip it.

export interface ManifestFile {
  readonly path: string;
  readonly bytes: number;
  readonly specId: number;
  readonly content: 'data' | 'deletes';
  readonly sequenceNumber: number;
  readonly minSequenceNumber: number;
  readonly addedSnapshotId: bigint;
  readonly addedFiles: number;
  readonly existingFiles: number;
  readonly deletedFiles: number;
  readonly addedRows: number;
  readonly existingRows: number;
  readonly deletedRows: number;
  /** First and last partition day, when there is exactly one partition field and it has bounds of a day's size. */
  readonly days: { readonly first: number; readonly last: number } | undefined;
}

const required = (name: string, fieldId: number, type: unknown): object => ({
  name,
  type,
  'field-id': fieldId,
});
const optional = (name: string, fieldId: number, type: unknown): object => ({
  name,
  type: ['null', type],
  default: null,
  'field-id': fieldId,
});

const fieldSummary = {
  type: 'record',
  name: 'r508',
  fields: [
    required('contains_null', 509, 'boolean'),
    optional('contains_nan', 518, 'boolean'),
    optional('lower_bound', 510, 'bytes'),
    optional('upper_bound', 511, 'bytes'),
  ],
};

const writeList = avroWriter({
  type: 'record',
  name: 'manifest_file',
  fields: [
    required('manifest_path', 500, 'string'),
    required('manifest_length', 501, 'long'),
    required('partition_spec_id', 502, 'int'),
    required('content', 517, 'int'),
    required('sequence_number', 515, 'long'),
    required('min_sequence_number', 516, 'long'),
    required('added_snapshot_id', 503, 'long'),
    required('added_files_count', 504, 'int'),
    required('existing_files_count', 505, 'int'),
    required('deleted_files_count', 506, 'int'),
    required('added_rows_count', 512, 'long'),
    required('existing_rows_count', 513, 'long'),
    required('deleted_rows_count', 514, 'long'),
    optional('partitions', 507, { type: 'array', items: fieldSummary, 'element-id': 508 }),
  ],
});

export function printManifestList(
  manifests: readonly ManifestFile[],
  snapshot: {
    readonly snapshotId: bigint;
    readonly parentSnapshotId: bigint | undefined;
    readonly sequenceNumber: number;
  },
): Buffer {
  return writeList(manifests.map(manifestToAvro), {
    'snapshot-id': String(snapshot.snapshotId),
    'parent-snapshot-id': String(snapshot.parentSnapshotId ?? 'null'),
    'sequence-number': String(snapshot.sequenceNumber),
    'format-version': '2',
  });
}

function manifestToAvro(manifest: ManifestFile): object {
  const { days } = manifest;
  return {
    manifest_path: manifest.path,
    manifest_length: manifest.bytes,
    partition_spec_id: manifest.specId,
    content: manifest.content === 'data' ? 0 : 1,
    sequence_number: manifest.sequenceNumber,
    min_sequence_number: manifest.minSequenceNumber,
    added_snapshot_id: exactId(manifest.addedSnapshotId),
    added_files_count: manifest.addedFiles,
    existing_files_count: manifest.existingFiles,
    deleted_files_count: manifest.deletedFiles,
    added_rows_count: manifest.addedRows,
    existing_rows_count: manifest.existingRows,
    deleted_rows_count: manifest.deletedRows,
    partitions: days && [
      {
        contains_null: false,
        contains_nan: null,
        lower_bound: encodeInt(days.first),
        upper_bound: encodeInt(days.last),
      },
    ],
  };
}

/** Lines as any writer of version 1 or 2 leaves them; early ones call counts of files otherwise. */
interface AvroManifest {
  readonly manifest_path: string;
  readonly manifest_length: AvroLong;
  readonly partition_spec_id: number;
  readonly content?: number | null;
  readonly sequence_number?: AvroLong | null;
  readonly min_sequence_number?: AvroLong | null;
  readonly added_snapshot_id: AvroLong;
  readonly added_files_count?: number | null;
  readonly added_data_files_count?: number | null;
  readonly existing_files_count?: number | null;
  readonly existing_data_files_count?: number | null;
  readonly deleted_files_count?: number | null;
  readonly deleted_data_files_count?: number | null;
  readonly added_rows_count?: AvroLong | null;
  readonly existing_rows_count?: AvroLong | null;
  readonly deleted_rows_count?: AvroLong | null;
  readonly partitions?: readonly AvroFieldSummary[] | null;
}

interface AvroFieldSummary {
  readonly contains_null: boolean;
  readonly lower_bound?: Uint8Array | null;
  readonly upper_bound?: Uint8Array | null;
}

/** Reads a manifest list; throws FirnError `corrupt`. */
export function parseManifestList(bytes: Uint8Array, subject: string): ManifestFile[] {
  return (readAvro(bytes, subject).values as readonly AvroManifest[]).map((line) => ({
    path: line.manifest_path,
    bytes: Number(line.manifest_length),
    specId: line.partition_spec_id,
    content: line.content === 1 ? 'deletes' : 'data',
    sequenceNumber: Number(line.sequence_number ?? 0),
    minSequenceNumber: Number(line.min_sequence_number ?? 0),
    addedSnapshotId: BigInt(line.added_snapshot_id),
    addedFiles: line.added_files_count ?? line.added_data_files_count ?? 0,
    existingFiles: line.existing_files_count ?? line.existing_data_files_count ?? 0,
    deletedFiles: line.deleted_files_count ?? line.deleted_data_files_count ?? 0,
    addedRows: Number(line.added_rows_count ?? 0),
    existingRows: Number(line.existing_rows_count ?? 0),
    deletedRows: Number(line.deleted_rows_count ?? 0),
    days: daysOf(line.partitions),
  }));
}

function daysOf(partitions: AvroManifest['partitions']): ManifestFile['days'] {
  const [field, ...others] = partitions ?? [];
  if (!field || others.length > 0 || field.contains_null) return undefined;
  const { lower_bound: lower, upper_bound: upper } = field;
  if (lower?.byteLength !== 4 || upper?.byteLength !== 4) return undefined;
  return { first: decodeInt(lower), last: decodeInt(upper) };
}

/** The line of a manifest that this snapshot writes. */
export function describeManifest(
  location: { readonly path: string; readonly bytes: number },
  entries: readonly ManifestEntry[],
  snapshot: { readonly snapshotId: bigint; readonly sequenceNumber: number },
): ManifestFile {
  const added = entries.filter(({ status }) => status === 'added');
  const existing = entries.filter(({ status }) => status === 'existing');
  const deleted = entries.filter(({ status }) => status === 'deleted');
  const rowsOf = (list: readonly ManifestEntry[]): number =>
    list.reduce((sum, { file }) => sum + file.rows, 0);
  const days = entries.flatMap(({ file }) => file.day ?? []);
  return {
    ...location,
    specId: 0,
    content: 'data',
    sequenceNumber: snapshot.sequenceNumber,
    // Of live files; added ones have the snapshot's own.
    minSequenceNumber: existing.reduce(
      (least, { sequenceNumber }) => Math.min(least, sequenceNumber),
      snapshot.sequenceNumber,
    ),
    addedSnapshotId: snapshot.snapshotId,
    addedFiles: added.length,
    existingFiles: existing.length,
    deletedFiles: deleted.length,
    addedRows: rowsOf(added),
    existingRows: rowsOf(existing),
    deletedRows: rowsOf(deleted),
    days:
      days.length < entries.length || days.length === 0
        ? undefined
        : { first: days.reduce((a, b) => Math.min(a, b)), last: days.reduce((a, b) => Math.max(a, b)) },
  };
}
