import type { Column, TableSchema } from '../../lake/schema/tables.ts';
import type { IcebergSchema, PartitionSpec, SortOrder, TableMetadata } from './metadata.ts';
import type { NewTable } from './table.ts';

/** Id of the only partition field; the specification numbers partition fields from 1000. */
export const dayFieldId = 1000;
export const dayFieldName = 'timestamp_day';
/** Id of the sort order that segments have; 0 is reserved for "unsorted". */
export const segmentSortOrderId = 1;
export const nameMappingProperty = 'schema.name-mapping.default';

/** A new table of a signal, without a snapshot. */
export function initialMetadata(schema: TableSchema, made: NewTable): TableMetadata {
  const plain = plainMetadata(schema.columns.map(icebergField), made);
  return {
    ...plain,
    partitionSpecs: [partitionSpec(schema)],
    lastPartitionId: dayFieldId,
    sortOrders: [...plain.sortOrders, sortOrder(schema)],
    defaultSortOrderId: segmentSortOrderId,
    properties: {
      ...plain.properties,
      // Segments from gateways without DuckDB carry no field ids; readers then go by name.
      [nameMappingProperty]: JSON.stringify(schema.columns.map(mappedName)),
    },
  };
}

/**
 * A new table without a snapshot, neither partitioned nor sorted; its first commit writes it as version 1 together with
 * the first snapshot.
 */
export function plainMetadata(
  fields: IcebergSchema['fields'],
  { location, tableUuid, nowMs }: NewTable,
): TableMetadata {
  return {
    formatVersion: 2,
    tableUuid,
    location,
    lastSequenceNumber: 0,
    lastUpdatedMs: nowMs,
    lastColumnId: Math.max(0, ...fields.map(({ id }) => id)),
    schemas: [{ type: 'struct', 'schema-id': 0, fields }],
    currentSchemaId: 0,
    partitionSpecs: [{ 'spec-id': 0, fields: [] }],
    defaultSpecId: 0,
    // The specification numbers partition fields from 1000; the last of none.
    lastPartitionId: dayFieldId - 1,
    sortOrders: [{ 'order-id': 0, fields: [] }],
    defaultSortOrderId: 0,
    properties: { 'write.format.default': 'parquet', 'write.parquet.compression-codec': 'zstd' },
    currentSnapshotId: undefined,
    snapshots: [],
    snapshotLog: [],
    metadataLog: [],
    refs: {},
    others: {},
  };
}

export const icebergField = ({ fieldId, name, required, type, doc }: Column) => ({
  id: fieldId,
  name,
  required,
  type,
  doc,
});

/** A column's entry in the name mapping. */
export const mappedName = ({ fieldId, name }: Column) => ({ 'field-id': fieldId, names: [name] });

function partitionSpec(schema: TableSchema): PartitionSpec {
  const source = fieldIdOf(schema, 'timestamp');
  return {
    'spec-id': 0,
    fields: [{ 'source-id': source, 'field-id': dayFieldId, name: dayFieldName, transform: 'day' }],
  };
}

function sortOrder(schema: TableSchema): SortOrder {
  return {
    'order-id': segmentSortOrderId,
    fields: schema.sortBy.map((name) => ({
      'source-id': fieldIdOf(schema, name),
      transform: 'identity',
      direction: 'asc',
      'null-order': 'nulls-first',
    })),
  };
}

/** The field id of a column; throws TypeError for a name the schema doesn't have (a mistake in the schema itself). */
export function fieldIdOf(schema: TableSchema, name: string): number {
  const column = schema.columns.find((each) => each.name === name);
  if (!column) throw new TypeError(`table ${schema.table} has no column ${name}`);
  return column.fieldId;
}
