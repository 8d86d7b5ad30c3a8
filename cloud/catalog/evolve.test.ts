import { expect, test } from 'vitest';
import { type TableSchema, tableSchemas } from '../../lake/schema/tables.ts';
import { evolved } from './evolve.ts';
import { initialMetadata } from './initial-metadata.ts';
import type { TableMetadata } from './metadata.ts';

const schema = tableSchemas.metrics;
const older: TableSchema = { ...schema, columns: schema.columns.slice(0, 6) };
const made = (by: TableSchema): TableMetadata =>
  initialMetadata(by, { location: 'file:///t', tableUuid: 'uuid', nowMs: 0 });

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
  expect(evolved(metadata, schema)).toBe(metadata);
});

test('new columns come after those that are there, optional whatever the schema says, and once', () => {
  const strict: TableSchema = {
    ...schema,
    columns: schema.columns.map((column) => ({ ...column, required: true })),
  };
  const metadata = evolved(made(older), strict);
  expect(namesOf(metadata)).toEqual(schema.columns.map(({ name }) => name));
  expect(metadata.schemas[1]?.fields.slice(6).map(({ required }) => required)).toEqual(Array(4).fill(false));
  expect(metadata).toMatchObject({ currentSchemaId: 1, lastColumnId: 10 });
  expect(metadata.schemas[0]).toEqual(made(older).schemas[0]);
  expect(evolved(metadata, strict)).toBe(metadata);
});

test('what another engine renamed, dropped or took away is not brought back', () => {
  const renamed = altered(made(older), (fields) =>
    fields.map((field) => (field.id === 4 ? { ...field, name: 'reading' } : field)),
  );
  expect(namesOf(evolved(renamed, older))).toContain('reading');
  const dropped = altered(made(older), (fields) => fields.filter(({ id }) => id !== 4));
  expect(evolved(dropped, older)).toBe(dropped);
  expect(namesOf(evolved(dropped, schema))).toEqual([
    ...['name', 'series_id', 'timestamp', 'labels', 'site'],
    ...['quality', 'device_timestamp', 'histogram', 'start_timestamp'],
  ]);
  const bare = { ...made(older), properties: {} };
  expect(evolved(bare, schema).properties).toEqual({});
});

test('an id that another engine has taken is an error, not a mixture', () => {
  const taken = altered(
    made(older),
    (fields) => [...fields, { id: 7, name: 'theirs', required: false, type: 'string' }],
    7,
  );
  expect(() => evolved(taken, schema)).toThrow(
    expect.objectContaining({ code: 'unsupported', message: expect.stringContaining('quality') }),
  );
});

const typeOf = ({ schemas, currentSchemaId }: TableMetadata, id: number) =>
  schemas.find((each) => each['schema-id'] === currentSchemaId)?.fields.find((field) => field.id === id);

test('types become wider and requirements looser by field id, in a new schema; never the other way', () => {
  const narrow = altered(made(schema), (fields) =>
    fields.map((field) => {
      if (field.id === 2) return { ...field, name: 'id_of_series', type: 'int' };
      return field.id === 4 ? { ...field, type: 'float', required: true } : field;
    }),
  );
  const wide = evolved(narrow, schema);
  expect(wide).toMatchObject({ currentSchemaId: 2, lastColumnId: 10 });
  expect(typeOf(wide, 2)).toMatchObject({ name: 'id_of_series', type: 'long', required: true });
  expect(typeOf(wide, 4)).toMatchObject({ type: 'double', required: false });
  expect(wide.schemas[1]).toEqual(narrow.schemas[1]);
  expect(evolved(wide, schema)).toBe(wide);
  const loose = altered(made(schema), (fields) => fields.map((field) => ({ ...field, required: false })));
  expect(evolved(loose, schema)).toBe(loose);
});

test.each(['string', 'double', 'decimal(9, 2)'])(
  'a column that became %s where Firn has long is an error',
  (type) => {
    const other = altered(made(schema), (fields) =>
      fields.map((field) => (field.id === 2 ? { ...field, type } : field)),
    );
    expect(() => evolved(other, schema)).toThrow(
      expect.objectContaining({ code: 'unsupported', message: expect.stringContaining('series_id') }),
    );
  },
);
