import { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';
import { exactId, parseExactJson, printExactJson } from './exact-json.ts';
import { listsManifests, upgradedFromV1 } from './metadata-v1.ts';

// Table metadata (specification, "Table Metadata" and appendix C). Firn writes format version 2; it reads 1 and 3 as well,
// and a table of version 1 becomes one of version 2 with its next commit. The parts that Firn reasons about
// get its own names here; schemas, partition specs and sort orders stay as they are written, because they also go
// verbatim into manifest headers. Fields that Firn doesn't know are carried through, so that what another engine put
// into a table outlives Firn's commits.

export interface TableMetadata {
  readonly formatVersion: 2 | 3;
  readonly tableUuid: string;
  readonly location: string;
  readonly lastSequenceNumber: number;
  readonly lastUpdatedMs: number;
  readonly lastColumnId: number;
  readonly schemas: readonly IcebergSchema[];
  readonly currentSchemaId: number;
  readonly partitionSpecs: readonly PartitionSpec[];
  readonly defaultSpecId: number;
  readonly lastPartitionId: number;
  readonly sortOrders: readonly SortOrder[];
  readonly defaultSortOrderId: number;
  readonly properties: Readonly<Record<string, string>>;
  readonly currentSnapshotId: bigint | undefined;
  readonly snapshots: readonly Snapshot[];
  readonly snapshotLog: readonly { readonly timestampMs: number; readonly snapshotId: bigint }[];
  readonly metadataLog: readonly { readonly timestampMs: number; readonly metadataFile: string }[];
  readonly refs: Readonly<Record<string, SnapshotRef>>;
  readonly others: Readonly<Record<string, unknown>>;
}

export interface Snapshot {
  readonly snapshotId: bigint;
  readonly parentSnapshotId: bigint | undefined;
  readonly sequenceNumber: number;
  readonly timestampMs: number;
  readonly manifestList: string;
  /** `operation` and counters; values are text. */
  readonly summary: Readonly<Record<string, string>>;
  readonly schemaId: number | undefined;
}

/** A summary property of this prefix holds the URI of an object that the snapshot needs as it needs its manifests. */
export const snapshotObjectPrefix = 'firn.object.';

/** The objects that a snapshot names besides its manifest list, as URIs. */
export const objectsOf = ({ summary }: Snapshot): string[] =>
  Object.entries(summary).flatMap(([name, value]) => (name.startsWith(snapshotObjectPrefix) ? value : []));

export type IcebergSchema = z.infer<typeof schemaJson>;
export type PartitionSpec = z.infer<typeof specJson>;
export type SortOrder = z.infer<typeof orderJson>;
type SnapshotRef = z.infer<typeof refJson>;

const id = z.union([z.bigint(), z.number().int()]).transform((value) => BigInt(value));
const int = z.number().int();

const schemaJson = z.looseObject({
  'schema-id': int,
  type: z.literal('struct'),
  fields: z.array(z.looseObject({ id: int, name: z.string(), required: z.boolean(), type: z.unknown() })),
});
const specJson = z.looseObject({
  'spec-id': int,
  fields: z.array(
    z.looseObject({ 'source-id': int, 'field-id': int, name: z.string(), transform: z.string() }),
  ),
});
const orderJson = z.looseObject({ 'order-id': int, fields: z.array(z.unknown()) });
const refJson = z.looseObject({ 'snapshot-id': id, type: z.string() });
const snapshotJson = z.object({
  'snapshot-id': id,
  'parent-snapshot-id': id.nullish(),
  'sequence-number': int,
  'timestamp-ms': int,
  'manifest-list': z.string(),
  summary: z.record(z.string(), z.string()).default({ operation: 'append' }),
  'schema-id': int.nullish(),
});

const metadataJson = z.looseObject({
  'format-version': z.union([z.literal(2), z.literal(3)]),
  'table-uuid': z.string(),
  location: z.string(),
  'last-sequence-number': int,
  'last-updated-ms': int,
  'last-column-id': int,
  schemas: z.array(schemaJson).min(1),
  'current-schema-id': int,
  'partition-specs': z.array(specJson).min(1),
  'default-spec-id': int,
  'last-partition-id': int,
  'sort-orders': z.array(orderJson).min(1),
  'default-sort-order-id': int,
  properties: z.record(z.string(), z.string()).default({}),
  'current-snapshot-id': id.nullish(),
  snapshots: z.array(snapshotJson).default([]),
  'snapshot-log': z.array(z.object({ 'timestamp-ms': int, 'snapshot-id': id })).default([]),
  'metadata-log': z.array(z.object({ 'timestamp-ms': int, 'metadata-file': z.string() })).default([]),
  refs: z.record(z.string(), refJson).default({}),
});
const knownKeys = new Set(Object.keys(metadataJson.shape));

/**
 * Reads a metadata file. Throws FirnError: `unsupported` for a format version after 3, `corrupt` (naming the field) when
 * the file is not whole.
 */
export function parseMetadata(text: string, subject: string): TableMetadata {
  let json: unknown;
  try {
    json = parseExactJson(text);
  } catch (cause) {
    throw refused('corrupt', subject, 'it is not JSON', cause);
  }
  return metadataOf(json, subject);
}

/** The same of JSON that is parsed already, exactly (exact-json.ts). */
export function metadataOf(json: unknown, subject: string): TableMetadata {
  const version = (json as { 'format-version'?: unknown } | null)?.['format-version'];
  if (typeof version === 'number' && version > 3)
    throw refused('unsupported', subject, `format version ${version}; Firn reads 1 to 3 and writes 2`);
  if (version === 1 && listsManifests(json as Record<string, unknown>))
    throw refused(
      'unsupported',
      subject,
      'its snapshots name their manifests themselves, as early writers of version 1 did',
    );
  const result = metadataJson.safeParse(
    version === 1 ? upgradedFromV1(json as Record<string, unknown>) : json,
  );
  if (result.success) return checked(fromJson(result.data), subject);
  const issue = result.error.issues[0];
  throw refused(
    'corrupt',
    subject,
    `${issue?.path.join('.') || 'file'}: ${issue?.message ?? 'not valid'}`,
    result.error,
  );
}

export function printMetadata(metadata: TableMetadata): string {
  return printExactJson({
    'format-version': metadata.formatVersion,
    'table-uuid': metadata.tableUuid,
    location: metadata.location,
    'last-sequence-number': metadata.lastSequenceNumber,
    'last-updated-ms': metadata.lastUpdatedMs,
    'last-column-id': metadata.lastColumnId,
    schemas: metadata.schemas,
    'current-schema-id': metadata.currentSchemaId,
    'partition-specs': metadata.partitionSpecs,
    'default-spec-id': metadata.defaultSpecId,
    'last-partition-id': metadata.lastPartitionId,
    'sort-orders': metadata.sortOrders,
    'default-sort-order-id': metadata.defaultSortOrderId,
    properties: metadata.properties,
    'current-snapshot-id': metadata.currentSnapshotId && exactId(metadata.currentSnapshotId),
    snapshots: metadata.snapshots.map(snapshotToJson),
    'snapshot-log': metadata.snapshotLog.map((entry) => ({
      'timestamp-ms': entry.timestampMs,
      'snapshot-id': exactId(entry.snapshotId),
    })),
    'metadata-log': metadata.metadataLog.map((entry) => ({
      'timestamp-ms': entry.timestampMs,
      'metadata-file': entry.metadataFile,
    })),
    refs: Object.fromEntries(
      Object.entries(metadata.refs).map(([name, ref]) => [
        name,
        { ...ref, 'snapshot-id': exactId(ref['snapshot-id']) },
      ]),
    ),
    ...metadata.others,
  });
}

export const snapshotToJson = (snapshot: Snapshot): object => ({
  'snapshot-id': exactId(snapshot.snapshotId),
  'parent-snapshot-id': snapshot.parentSnapshotId && exactId(snapshot.parentSnapshotId),
  'sequence-number': snapshot.sequenceNumber,
  'timestamp-ms': snapshot.timestampMs,
  'manifest-list': snapshot.manifestList,
  summary: snapshot.summary,
  'schema-id': snapshot.schemaId,
});

export function currentSnapshot(metadata: TableMetadata): Snapshot | undefined {
  return metadata.snapshots.find(({ snapshotId }) => snapshotId === metadata.currentSnapshotId);
}

function fromJson(json: z.infer<typeof metadataJson>): TableMetadata {
  const current = json['current-snapshot-id'];
  return {
    formatVersion: json['format-version'],
    tableUuid: json['table-uuid'],
    location: json.location,
    lastSequenceNumber: json['last-sequence-number'],
    lastUpdatedMs: json['last-updated-ms'],
    lastColumnId: json['last-column-id'],
    schemas: json.schemas,
    currentSchemaId: json['current-schema-id'],
    partitionSpecs: json['partition-specs'],
    defaultSpecId: json['default-spec-id'],
    lastPartitionId: json['last-partition-id'],
    sortOrders: json['sort-orders'],
    defaultSortOrderId: json['default-sort-order-id'],
    properties: json.properties,
    // Java wrote -1 for "none" in version 2 tables.
    currentSnapshotId: current === -1n ? undefined : (current ?? undefined),
    snapshots: json.snapshots.map((snapshot) => ({
      snapshotId: snapshot['snapshot-id'],
      parentSnapshotId: snapshot['parent-snapshot-id'] ?? undefined,
      sequenceNumber: snapshot['sequence-number'],
      timestampMs: snapshot['timestamp-ms'],
      manifestList: snapshot['manifest-list'],
      summary: snapshot.summary,
      schemaId: snapshot['schema-id'] ?? undefined,
    })),
    snapshotLog: json['snapshot-log'].map((entry) => ({
      timestampMs: entry['timestamp-ms'],
      snapshotId: entry['snapshot-id'],
    })),
    metadataLog: json['metadata-log'].map((entry) => ({
      timestampMs: entry['timestamp-ms'],
      metadataFile: entry['metadata-file'],
    })),
    refs: json.refs,
    others: Object.fromEntries(Object.entries(json).filter(([key]) => !knownKeys.has(key))),
  };
}

/** What the ids refer to must be there. */
function checked(metadata: TableMetadata, subject: string): TableMetadata {
  const missing = [
    !metadata.schemas.some((schema) => schema['schema-id'] === metadata.currentSchemaId) &&
      'current-schema-id',
    !metadata.partitionSpecs.some((spec) => spec['spec-id'] === metadata.defaultSpecId) && 'default-spec-id',
    !metadata.sortOrders.some((order) => order['order-id'] === metadata.defaultSortOrderId) &&
      'default-sort-order-id',
    metadata.currentSnapshotId !== undefined && !currentSnapshot(metadata) && 'current-snapshot-id',
  ].filter((name) => name !== false);
  if (missing.length === 0) return metadata;
  throw refused('corrupt', subject, `${missing.join(', ')} names something that is not in it`);
}

function refused(code: 'corrupt' | 'unsupported', subject: string, why: string, cause?: unknown): FirnError {
  return new FirnError({
    code,
    operation: 'read table metadata',
    subject,
    message: `${subject} cannot be read: ${why}`,
    cause,
  });
}
