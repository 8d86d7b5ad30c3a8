import { FirnError } from '../../lake/base/errors.ts';
import type { Column, TableSchema } from '../../lake/schema/tables.ts';
import { icebergField, mappedName, nameMappingProperty } from './initial-metadata.ts';
import type { TableMetadata } from './metadata.ts';

// Schema evolution (specification, "Schema Evolution"): at its next commit a table that an older version of Firn made
// gets the columns of a newer one, wider types and looser requirements, by field id. Files that lack a column read as
// null; files with a narrower type are read as the wider one.

/** Types whose values all are values of another, by what they can become. */
const widened: Readonly<Record<string, string>> = { int: 'long', float: 'double' };

/** Whether a column of one type can be read as another, and no value is changed by it. */
export const isWidening = (from: string, to: string): boolean => from === to || widened[from] === to;

/**
 * The metadata with every column of the schema, as wide and as optional as the schema has it; itself when it is so
 * already. What another engine dropped or renamed stays so, and so does a type that is wider or a column that is
 * optional there. Throws FirnError `unsupported` when the id of a new column was taken by another engine, and when types
 * conflict: nothing is committed then, and nothing is lost.
 */
export function evolved(metadata: TableMetadata, schema: TableSchema): TableMetadata {
  const { schemas, lastColumnId } = metadata;
  const current = schemas.find((each) => each['schema-id'] === metadata.currentSchemaId);
  const added = schema.columns.filter((column) => isNew(column, metadata, schema.table));
  const fields = current?.fields.map((field) => {
    const column = schema.columns.find(({ fieldId }) => fieldId === field.id);
    return column ? changedField(field, column, schema.table) : field;
  });
  const changed = fields?.some((field, index) => field !== current?.fields[index]) ?? false;
  if (!current || !fields || (added.length === 0 && !changed)) return metadata;
  const id = Math.max(...schemas.map((each) => each['schema-id'])) + 1;
  // Rows that are there already have no value, whatever the schema says of new ones.
  const news = added.map((column) => icebergField({ ...column, required: false }));
  return {
    ...metadata,
    lastColumnId: Math.max(lastColumnId, ...added.map(({ fieldId }) => fieldId)),
    schemas: [...schemas, { ...current, 'schema-id': id, fields: [...fields, ...news] }],
    currentSchemaId: id,
    properties: withNames(metadata.properties, added),
  };
}

type Field = TableMetadata['schemas'][number]['fields'][number];

function changedField(field: Field, column: Column, table: string): Field {
  const type = String(field.type);
  const required = field.required && column.required;
  if (isWidening(column.type, type)) return required === field.required ? field : { ...field, required };
  if (isWidening(type, column.type)) return { ...field, type: column.type, required };
  throw new FirnError({
    code: 'unsupported',
    operation: 'change columns of table',
    subject: table,
    message: `column ${column.name} of table ${table} is ${type}, and Firn's is ${column.type}: neither holds all values of the other`,
    hint: 'another engine changed it: move its values elsewhere and make the table anew',
  });
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
