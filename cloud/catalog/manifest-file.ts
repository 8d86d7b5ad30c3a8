import { FirnError } from '../../lake/base/errors.ts';
import { type AvroLong, avroWriter, readAvro } from './avro.ts';
import { exactId } from './exact-json.ts';
import { dayFieldId, dayFieldName } from './initial-metadata.ts';
import type { IcebergSchema, PartitionSpec } from './metadata.ts';

// Manifest files (specification, "Manifests"): which data files belong to the table, with their partition and column
// statistics.

type EntryStatus = 'existing' | 'added' | 'deleted';
const statuses = ['existing', 'added', 'deleted'] as const satisfies readonly EntryStatus[];

export interface ManifestEntry {
  readonly status: EntryStatus;
  /** Snapshot, data sequence number and file sequence number; inherited ones are filled in by the reader. */
  readonly snapshotId: bigint;
  readonly sequenceNumber: number;
  readonly fileSequenceNumber: number;
  readonly file: DataFile;
}

export interface DataFile {
  readonly path: string;
  readonly format: string;
  /** Day since the Unix epoch; undefined in a partition spec that is not Firn's. */
  readonly day: number | undefined;
  readonly rows: number;
  readonly bytes: number;
  /** All by field id. Bounds are in Iceberg's single-value form (bounds.ts). */
  readonly valueCounts: ReadonlyMap<number, number>;
  readonly nullCounts: ReadonlyMap<number, number>;
  readonly lowerBounds: ReadonlyMap<number, Uint8Array>;
  readonly upperBounds: ReadonlyMap<number, Uint8Array>;
  readonly sortOrderId: number | undefined;
}

/** What entries inherit where they hold null: from the manifest's line in the manifest list. */
export interface Inherited {
  readonly snapshotId: bigint;
  readonly sequenceNumber: number;
}

const optional = (name: string, fieldId: number, type: unknown): object => ({
  name,
  type: ['null', type],
  default: null,
  'field-id': fieldId,
});
const required = (name: string, fieldId: number, type: unknown): object => ({
  name,
  type,
  'field-id': fieldId,
});

/** Iceberg maps with integer keys are arrays of pairs in Avro. */
const pairs = (keyId: number, valueId: number, valueType: string): object => ({
  type: 'array',
  logicalType: 'map',
  items: {
    type: 'record',
    name: `k${keyId}_v${valueId}`,
    fields: [required('key', keyId, 'int'), required('value', valueId, valueType)],
  },
});

const dayField = optional(dayFieldName, dayFieldId, { type: 'int', logicalType: 'date' });

const dataFileRecord = (partitionFields: readonly object[]): object => ({
  type: 'record',
  name: 'r2',
  fields: [
    required('content', 134, 'int'),
    required('file_path', 100, 'string'),
    required('file_format', 101, 'string'),
    required('partition', 102, { type: 'record', name: 'r102', fields: partitionFields }),
    required('record_count', 103, 'long'),
    required('file_size_in_bytes', 104, 'long'),
    optional('value_counts', 109, pairs(119, 120, 'long')),
    optional('null_value_counts', 110, pairs(121, 122, 'long')),
    optional('lower_bounds', 125, pairs(126, 127, 'bytes')),
    optional('upper_bounds', 128, pairs(129, 130, 'bytes')),
    optional('sort_order_id', 140, 'int'),
  ],
});

const entriesWriter = (partitionFields: readonly object[]) =>
  avroWriter({
    type: 'record',
    name: 'manifest_entry',
    fields: [
      required('status', 0, 'int'),
      optional('snapshot_id', 1, 'long'),
      optional('sequence_number', 3, 'long'),
      optional('file_sequence_number', 4, 'long'),
      required('data_file', 2, dataFileRecord(partitionFields)),
    ],
  });
const writeByDay = entriesWriter([dayField]);
/** Of tables without partitions. */
const writePlain = entriesWriter([]);

/** A manifest; `added` entries leave their numbers to be inherited, `existing` and `deleted` ones state them. */
export function printManifestFile(
  entries: readonly ManifestEntry[],
  schema: IcebergSchema,
  spec: PartitionSpec,
): Buffer {
  const write = spec.fields.length === 0 ? writePlain : writeByDay;
  return write(entries.map(entryToAvro), {
    schema: JSON.stringify(schema),
    'schema-id': String(schema['schema-id']),
    'partition-spec': JSON.stringify(spec.fields),
    'partition-spec-id': String(spec['spec-id']),
    'format-version': '2',
    content: 'data',
  });
}

function entryToAvro(entry: ManifestEntry): object {
  const { file } = entry;
  const inherits = entry.status === 'added';
  return {
    status: statuses.indexOf(entry.status),
    snapshot_id: exactId(entry.snapshotId),
    sequence_number: inherits ? null : entry.sequenceNumber,
    file_sequence_number: inherits ? null : entry.fileSequenceNumber,
    data_file: {
      content: 0,
      file_path: file.path,
      file_format: file.format,
      partition: { [dayFieldName]: file.day ?? null },
      record_count: file.rows,
      file_size_in_bytes: file.bytes,
      value_counts: toPairs(file.valueCounts),
      null_value_counts: toPairs(file.nullCounts),
      lower_bounds: toPairs(buffers(file.lowerBounds)),
      upper_bounds: toPairs(buffers(file.upperBounds)),
      sort_order_id: file.sortOrderId ?? null,
    },
  };
}

const buffers = (map: ReadonlyMap<number, Uint8Array>): Map<number, Buffer> =>
  new Map(
    [...map].map(([key, bytes]) => [key, Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)]),
  );

const toPairs = <V>(map: ReadonlyMap<number, V>): { key: number; value: V }[] =>
  [...map].map(([key, value]) => ({ key, value }));

/** Entries as any writer of version 1 or 2 leaves them; what is optional there may be absent. */
interface AvroEntry {
  readonly status: number;
  readonly snapshot_id?: AvroLong | null;
  readonly sequence_number?: AvroLong | null;
  readonly file_sequence_number?: AvroLong | null;
  readonly data_file: {
    readonly content?: number | null;
    readonly file_path: string;
    readonly file_format: string;
    readonly partition: Readonly<Record<string, unknown>>;
    readonly record_count: AvroLong;
    readonly file_size_in_bytes: AvroLong;
    readonly value_counts?: AvroPairs<AvroLong>;
    readonly null_value_counts?: AvroPairs<AvroLong>;
    readonly lower_bounds?: AvroPairs<Uint8Array>;
    readonly upper_bounds?: AvroPairs<Uint8Array>;
    readonly sort_order_id?: number | null;
  };
}
type AvroPairs<V> = readonly { readonly key: number; readonly value: V }[] | null;

/**
 * Reads a manifest; deleted entries are left out. Throws FirnError `corrupt`, and `unsupported` for delete files, whose
 * rows Firn's views would wrongly show.
 */
export function parseManifestFile(bytes: Uint8Array, subject: string, inherited: Inherited): ManifestEntry[] {
  const { values, metadata } = readAvro(bytes, subject);
  const dayName = dayFieldOf(metadata['partition-spec']);
  return (values as readonly AvroEntry[])
    .filter(({ status }) => statuses[status] !== 'deleted')
    .map((entry) => {
      const { data_file: file } = entry;
      if (file.content) throw deleteFile(subject);
      const sequenceNumber = Number(entry.sequence_number ?? inherited.sequenceNumber);
      return {
        status: statuses[entry.status] ?? 'existing',
        snapshotId: BigInt(entry.snapshot_id ?? inherited.snapshotId),
        sequenceNumber,
        fileSequenceNumber: Number(entry.file_sequence_number ?? inherited.sequenceNumber),
        file: {
          path: file.file_path,
          format: file.file_format,
          day: dayName === undefined ? undefined : ((file.partition[dayName] as number | null) ?? undefined),
          rows: Number(file.record_count),
          bytes: Number(file.file_size_in_bytes),
          valueCounts: fromPairs(file.value_counts, Number),
          nullCounts: fromPairs(file.null_value_counts, Number),
          lowerBounds: fromPairs(file.lower_bounds, (value) => value),
          upperBounds: fromPairs(file.upper_bounds, (value) => value),
          sortOrderId: file.sort_order_id ?? undefined,
        },
      };
    });
}

function fromPairs<A, V>(list: AvroPairs<A> | undefined, convert: (value: A) => V): Map<number, V> {
  return new Map((list ?? []).map(({ key, value }) => [key, convert(value)]));
}

/** The name of the day field in a manifest's own partition spec. */
function dayFieldOf(specJson: string | undefined): string | undefined {
  const fields = JSON.parse(specJson ?? '[]') as readonly { name: string; transform: string }[];
  return fields.find(({ transform }) => transform === 'day')?.name;
}

function deleteFile(subject: string): FirnError {
  return new FirnError({
    code: 'unsupported',
    operation: 'read manifest',
    subject,
    message: `${subject} lists delete files, which Firn does not apply yet`,
    hint: 'rewrite the table with the engine that deleted the rows (copy-on-write), then query again',
  });
}
