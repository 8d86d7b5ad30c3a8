import { expect, test } from 'vitest';
import { type TableSchema, tableSchemas } from '../../lake/schema/tables.ts';
import { withNewColumns } from './evolve.ts';
import { initialMetadata } from './initial-metadata.ts';
import type { TableMetadata } from './metadata.ts';

const schema = tableSchemas.metrics;
const older: TableSchema = { ...schema, columns: schema.columns.slice(0, 6) };
const made = (by: TableSchema): TableMetadata => initialMetadata(by, 'file:///t', 'uuid', 0);

/** The table as another engine left it: a new current schema with other fields. */
function altered(
  metadata: TableMetadata,
  change: (fields: TableMetadata['schemas'][number]['fields']) => TableMetadata['schemas'][number]['fields'],
  lastColumnId = metadata.lastColumnId,
): TableMetadata {
  const [first] = metadata.schemas;
  if (!first) throw new Error('no schema');
  const second = { ...first, 'schema-id': 1, fields: change(first.fields) };
  return { ...metadata, lastColumnId, schemas: [first, second], currentSchemaId: 1 };
}

const namesOf = ({ schemas, currentSchemaId }: TableMetadata): string[] =>
  schemas.find((each) => each['schema-id'] === currentSchemaId)?.fields.map(({ name }) => name) ?? [];

test('a table that has every column stays the very same', () => {
  const metadata = made(schema);
  expect(withNewColumns(metadata, schema)).toBe(metadata);
});

test('new columns come after those that are there, optional whatever the schema says, and once', () => {
  const strict: TableSchema = {
    ...schema,
    columns: schema.columns.map((column) => ({ ...column, required: true })),
  };
  const metadata = withNewColumns(made(older), strict);
  expect(namesOf(metadata)).toEqual(schema.columns.map(({ name }) => name));
  expect(metadata.schemas[1]?.fields.slice(6).map(({ required }) => required)).toEqual(Array(4).fill(false));
  expect(metadata).toMatchObject({ currentSchemaId: 1, lastColumnId: 10 });
  expect(metadata.schemas[0]).toEqual(made(older).schemas[0]);
  expect(withNewColumns(metadata, strict)).toBe(metadata);
});

test('what another engine renamed, dropped or took away is not brought back', () => {
  const renamed = altered(made(older), (fields) =>
    fields.map((field) => (field.id === 4 ? { ...field, name: 'reading' } : field)),
  );
  expect(namesOf(withNewColumns(renamed, older))).toContain('reading');
  const dropped = altered(made(older), (fields) => fields.filter(({ id }) => id !== 4));
  expect(withNewColumns(dropped, older)).toBe(dropped);
  expect(namesOf(withNewColumns(dropped, schema))).toEqual([
    ...['name', 'series_id', 'timestamp', 'labels', 'site'],
    ...['quality', 'device_timestamp', 'histogram', 'start_timestamp'],
  ]);
  const bare = { ...made(older), properties: {} };
  expect(withNewColumns(bare, schema).properties).toEqual({});
});

test('an id that another engine has taken is an error, not a mixture', () => {
  const taken = altered(
    made(older),
    (fields) => [...fields, { id: 7, name: 'theirs', required: false, type: 'string' }],
    7,
  );
  expect(() => withNewColumns(taken, schema)).toThrow(
    expect.objectContaining({ code: 'unsupported', message: expect.stringContaining('quality') }),
  );
});
