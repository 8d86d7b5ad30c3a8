import { join } from 'node:path';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { openDuckdb, sqlText } from '../../lake/sql/duckdb/engine.ts';
import { userTypeOf } from './column-types.ts';
import type { UserColumn } from './user-schema.ts';
import type { LoadedFile } from './user-table-store.ts';

const memoryLimit = '256MiB';

/**
 * Makes a Parquet file of a CSV file with a header, in `folder`. Types are those that every value has. Throws FirnError
 * `invalid` in DuckDB's words, with the line, for a file that is no CSV.
 */
export async function csvToParquet(csvPath: string, folder: string): Promise<LoadedFile> {
  const path = join(folder, 'loaded.parquet');
  const instance = await openDuckdb({ threads: '1', memory_limit: memoryLimit, temp_directory: folder });
  const connection = await instance.connect();
  try {
    // The whole file is looked at, so that a value on the last line can't belie the type.
    const from = `read_csv(${sqlText(csvPath)}, header = true, sample_size = -1, normalize_names = false)`;
    const described = await connection.runAndReadAll(`DESCRIBE SELECT * FROM ${from}`);
    const columns = described.getRowObjectsJS().map(
      ({ column_name: name, column_type: type }): UserColumn => ({
        name: String(name).trim(),
        type: userTypeOf(String(type)),
      }),
    );
    const names = described.getRowObjectsJS().map(({ column_name: name }) => String(name));
    const select = columns.map(
      ({ name, type }, index) => `${quoted(names[index] ?? '')}::${type} AS ${quoted(name)}`,
    );
    await connection.run(
      `COPY (SELECT ${select.join(', ')} FROM ${from}) TO ${sqlText(path)} (FORMAT parquet, COMPRESSION zstd)`,
    );
    const counted = await connection.runAndReadAll(`SELECT count(*) FROM read_parquet(${sqlText(path)})`);
    const rows = Number(counted.getRows()[0]?.[0] ?? 0);
    return { path, rows, columns };
  } catch (cause) {
    const message = messageOf(cause).split('\n')[0]?.replaceAll(csvPath, 'the file') ?? '';
    throw new FirnError({
      code: 'invalid',
      operation: 'load table',
      subject: 'body',
      message: `the body is no CSV with a header line: ${message}`,
      cause,
    });
  } finally {
    connection.closeSync();
    instance.closeSync();
  }
}

export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;
