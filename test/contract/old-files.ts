import { renameSync } from 'node:fs';
import { hashFile } from '../../lake/parquet/durable-file.ts';
import type { SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { type TableSchema, tableSchemas } from '../../lake/schema/tables.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';

// Files and tables as versions of Firn before the columns below made them.

const laterColumns: ReadonlySet<string> = new Set([
  'quality',
  'device_timestamp',
  'histogram',
  'start_timestamp',
]);

export function oldSchema(schema: TableSchema): TableSchema {
  return { ...schema, columns: schema.columns.filter(({ name }) => !laterColumns.has(name)) };
}

/** Writes the file anew without the later columns. */
export async function makeOld(path: string, signal: 'metrics' | 'logs'): Promise<void> {
  const instance = await openDuckdb({ threads: '1' });
  const connection = await instance.connect();
  const { columns } = oldSchema(tableSchemas[signal]);
  const names = columns.map(({ name }) => name).join(', ');
  const ids = columns.map(({ name, fieldId }) => `${name}: ${fieldId}`).join(', ');
  await connection.run(`COPY (SELECT ${names} FROM read_parquet(${sqlText(path)})) TO ${sqlText(`${path}.old`)}
    (FORMAT parquet, COMPRESSION zstd, DICTIONARY_SIZE_LIMIT 0, FIELD_IDS {${ids}})`);
  connection.closeSync();
  instance.closeSync();
  renameSync(`${path}.old`, path);
}

/** A writer whose files are old. */
export const oldWriter = (writer: SegmentWriter): SegmentWriter => ({
  ...writer,
  write: async (rows) => {
    const files = await writer.write(rows);
    return Promise.all(
      files.map(async (file) => {
        await makeOld(file.path, rows.signal as 'metrics' | 'logs');
        return { ...file, ...(await hashFile(file.path)) };
      }),
    );
  },
});
