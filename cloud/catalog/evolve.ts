import { FirnError } from '../../lake/base/errors.ts';
import type { Column, TableSchema } from '../../lake/schema/tables.ts';
import { icebergField, mappedName, nameMappingProperty } from './initial-metadata.ts';
import type { TableMetadata } from './metadata.ts';

// Schema evolution (specification, "Schema Evolution"): columns that a newer version of Firn has are added to tables
// that an older one made, at their next commit. Files that lack them read as null.

/**
 * The metadata with every column of the schema; itself when it has them. What another engine dropped or renamed stays
 * so. Throws FirnError `unsupported` when the id of a new column was taken by another engine.
 */
export function withNewColumns(metadata: TableMetadata, schema: TableSchema): TableMetadata {
  const { schemas, lastColumnId } = metadata;
  const current = schemas.find((each) => each['schema-id'] === metadata.currentSchemaId);
  const added = schema.columns.filter((column) => isNew(column, metadata, schema.table));
  if (!current || added.length === 0) return metadata;
  const id = Math.max(...schemas.map((each) => each['schema-id'])) + 1;
  // Rows that are there already have no value, whatever the schema says of new ones.
  const fields = added.map((column) => icebergField({ ...column, required: false }));
  return {
    ...metadata,
    lastColumnId: Math.max(lastColumnId, ...added.map(({ fieldId }) => fieldId)),
    schemas: [...schemas, { ...current, 'schema-id': id, fields: [...current.fields, ...fields] }],
    currentSchemaId: id,
    properties: withNames(metadata.properties, added),
  };
}

function isNew({ fieldId, name }: Column, { schemas, lastColumnId }: TableMetadata, table: string): boolean {
  if (fieldId > lastColumnId) return true;
  const names = schemas
    .flatMap(({ fields }) => fields.filter(({ id }) => id === fieldId))
    .map((field) => field.name);
  if (names.length === 0 || names.includes(name)) return false;
  throw new FirnError({
    code: 'unsupported',
    operation: 'add columns to table',
    subject: table,
    message: `table ${table} has another column with the id ${fieldId}, which is that of Firn's ${name}`,
    hint: 'another engine added it: move its values elsewhere and make the table anew',
  });
}

/** A mapping that another engine took away is not brought back. */
function withNames(
  properties: TableMetadata['properties'],
  added: readonly Column[],
): TableMetadata['properties'] {
  const text = properties[nameMappingProperty];
  if (text === undefined) return properties;
  const mapping = [...(JSON.parse(text) as readonly unknown[]), ...added.map(mappedName)];
  return { ...properties, [nameMappingProperty]: JSON.stringify(mapping) };
}
