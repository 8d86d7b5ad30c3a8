import { plainMetadata } from '../catalog/initial-metadata.ts';
import type { IcebergSchema, TableMetadata } from '../catalog/metadata.ts';
import type { NewTable } from '../catalog/table.ts';
import { isOfKind, ofKind } from '../catalog/table-kind.ts';
import { type UserType, widened } from './column-types.ts';

// Columns of a user table as Iceberg has them, and how a load changes them: by field id, so that a column that goes and
// comes back is another one.

export interface UserColumn {
  readonly name: string;
  readonly type: UserType;
}

export interface PlacedColumn extends UserColumn {
  readonly fieldId: number;
}

const icebergTypes: Readonly<Record<UserType, string>> = {
  BOOLEAN: 'boolean',
  BIGINT: 'long',
  DOUBLE: 'double',
  DATE: 'date',
  TIMESTAMP: 'timestamp',
  TIMESTAMPTZ: 'timestamptz',
  VARCHAR: 'string',
};
const userTypes = new Map(Object.entries(icebergTypes).map(([user, type]) => [type, user as UserType]));

/** The columns of a user table; undefined for what is none, or none any more. */
export function userColumnsOf(metadata: TableMetadata | undefined): readonly PlacedColumn[] | undefined {
  if (!metadata || !isOfKind(metadata, 'user-table')) return undefined;
  const schema = metadata.schemas.find((each) => each['schema-id'] === metadata.currentSchemaId);
  return (schema?.fields ?? []).flatMap(({ id, name, type }) => {
    const userType = userTypes.get(String(type));
    return userType ? [{ fieldId: id, name, type: userType }] : [];
  });
}

/** How the table is to be after a load. */
export interface LoadPlan {
  readonly columns: readonly PlacedColumn[];
  /** A column becomes wider than Iceberg lets one become: the rows that there are have to be written again. */
  readonly rewrites: boolean;
}

/**
 * Columns that were there keep their place and become as wide as both; new ones come after them. A replaced table has the
 * columns that were loaded.
 */
export function planLoad(
  metadata: TableMetadata | undefined,
  loaded: readonly UserColumn[],
  mode: 'replace' | 'append',
): LoadPlan {
  const before = userColumnsOf(metadata) ?? [];
  const byName = new Map(loaded.map((column) => [column.name, column]));
  const known = new Map(before.map((column) => [column.name, column]));
  const wanted: readonly UserColumn[] =
    mode === 'replace'
      ? loaded
      : [
          ...before.map(({ name, type }) => ({
            name,
            type: widened(type, byName.get(name)?.type ?? type),
          })),
          ...loaded.filter(({ name }) => !known.has(name)),
        ];
  let lastId = metadata?.lastColumnId ?? 0;
  const columns = wanted.map((column): PlacedColumn => {
    const same = known.get(column.name);
    return same?.type === column.type ? same : { ...column, fieldId: ++lastId };
  });
  const rewrites = mode === 'append' && before.some((column, index) => columns[index] !== column);
  return { columns, rewrites };
}

/** The metadata of a table with these columns, made when there is none. */
export function withColumns(
  metadata: TableMetadata | undefined,
  columns: readonly PlacedColumn[],
  made: NewTable,
): TableMetadata {
  const fields = columns.map(({ fieldId, name, type }) => ({
    ...{ id: fieldId, name, required: false, type: icebergTypes[type] },
  }));
  const base = ofKind(metadata ?? plainMetadata(fields, made), 'user-table');
  const current = base.schemas.find((each) => each['schema-id'] === base.currentSchemaId);
  if (sameFields(current, fields)) return base;
  const schemaId = Math.max(...base.schemas.map((each) => each['schema-id'])) + 1;
  return {
    ...base,
    lastColumnId: Math.max(base.lastColumnId, ...columns.map(({ fieldId }) => fieldId)),
    schemas: [...base.schemas, { type: 'struct', 'schema-id': schemaId, fields }],
    currentSchemaId: schemaId,
  };
}

const sameFields = (schema: IcebergSchema | undefined, fields: IcebergSchema['fields']): boolean =>
  schema?.fields.length === fields.length &&
  schema.fields.every(({ id, name, type }, index) => {
    const field = fields[index];
    return id === field?.id && name === field.name && type === field.type;
  });
