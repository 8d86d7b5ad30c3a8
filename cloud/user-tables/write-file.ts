import { stat } from 'node:fs/promises';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import { quoted } from './read-csv.ts';
import type { PlacedColumn } from './user-schema.ts';

const memoryLimit = '256MiB';

interface WrittenFile {
  readonly bytes: number;
  readonly rows: number;
  readonly written: readonly PlacedColumn[];
}

/**
 * Writes the rows of Parquet files, whose columns go by name, into one with these types and field ids. A column that none
 * of them has is left out: readers take it as null.
 */
export async function writeUserFile(
  sources: readonly string[],
  columns: readonly PlacedColumn[],
  path: string,
  spillFolder: string,
): Promise<WrittenFile> {
  const instance = await openDuckdb({
    threads: '1',
    memory_limit: memoryLimit,
    temp_directory: spillFolder,
  });
  const connection = await instance.connect();
  try {
    const from = `read_parquet([${sources.map(sqlText).join(', ')}], union_by_name = true)`;
    const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${from}`);
    const present = new Set(described.getRows().map(([name]) => String(name)));
    const written = columns.filter(({ name }) => present.has(name));
    const select = written.map(({ name, type }) => `${quoted(name)}::${type} AS ${quoted(name)}`);
    const ids = written.map(({ name, fieldId }) => `${quoted(name)}: ${fieldId}`);
    const copied = await connection.runAndReadAll(
      `COPY (SELECT ${select.join(', ')} FROM ${from}) TO ${sqlText(path)}
       (FORMAT parquet, COMPRESSION zstd, FIELD_IDS {${ids.join(', ')}})`,
    );
    return { bytes: (await stat(path)).size, rows: Number(copied.getRows()[0]?.[0] ?? 0), written };
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}
