import { mkdirSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TableName } from '../../lake/model/table-name.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { type Engine, sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { Tables, TableView } from '../../lake/tables.ts';

/**
 * The same tables for a reader in another process, which has not the tail of the log in its memory: a view writes the rows
 * of its tail into a file of `directory`, which the engine may write, and removes it when it is closed. What was left there
 * is removed now.
 */
export function tablesInFiles({
  tables,
  engine,
  directory,
}: {
  readonly tables: Tables;
  readonly engine: Engine;
  readonly directory: string;
}): Tables {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  let written = 0;
  const write = async (table: TableName, rows: string): Promise<string> => {
    const path = join(directory, `${table}-${++written}.parquet`);
    const connection = await engine.connect();
    try {
      await connection.run(`COPY (SELECT * FROM ${rows}) TO ${sqlText(path)} (FORMAT parquet)`);
      return path;
    } catch (error) {
      await rm(path, { force: true });
      throw error;
    } finally {
      connection.closeSync();
    }
  };
  const inFiles = async (table: TableName, view: TableView): Promise<TableView> => {
    const { files = [], rest } = view.parts ?? {};
    if (rest === undefined) return view;
    const path = await write(table, rest);
    return {
      from: filesSql(tableSchemas[table], [...files.map((file) => file.path), path]),
      filesConsidered: view.filesConsidered,
      filesPruned: view.filesPruned,
      [Symbol.asyncDispose]: async () => {
        await rm(path, { force: true });
        await view[Symbol.asyncDispose]();
      },
    };
  };
  return {
    ...tables,
    open: async (table, prune, signal) => {
      const view = await tables.open(table, prune, signal);
      try {
        return await inFiles(table, view);
      } catch (error) {
        await view[Symbol.asyncDispose]();
        throw error;
      }
    },
  };
}
