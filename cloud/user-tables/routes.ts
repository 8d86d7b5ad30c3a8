import { createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type Context, Hono } from 'hono';
import { FirnError } from '../../lake/base/errors.ts';
import { csvToParquet } from './read-csv.ts';
import { checkTableName, type UserTable, type UserTableStore } from './user-table-store.ts';

export interface UserTableRoutesOptions {
  /** Of the tenant that a request is about; authentication has been done before. */
  readonly tablesOf: (c: Context) => UserTableStore;
  /** For bodies while they are read; absolute. */
  readonly workDirectory: string;
}

/** Bytes of one CSV body. */
const csvBytesMax = 256 * 1024 * 1024;

const statusOf = { invalid: 400, limit: 413, conflict: 409, 'not-found': 404 } as const;

/**
 * `POST /api/v1/firn/tables/:name` with CSV makes or replaces a table, with `?mode=append` adds to it; `GET
 * /api/v1/firn/tables` lists them, `DELETE` drops one.
 */
export function userTableRoutes({ tablesOf, workDirectory }: UserTableRoutesOptions): Hono {
  const app = new Hono();
  app.onError((error, c) => {
    const status = error instanceof FirnError ? statusOf[error.code as keyof typeof statusOf] : undefined;
    if (status === undefined) throw error;
    return c.json({ status: 'error', errorType: 'bad_data', error: error.message }, status);
  });
  app.get('/api/v1/firn/tables', async (c) =>
    c.json({ status: 'success', data: { tables: (await tablesOf(c).list()).map(shown) } }),
  );
  app.post('/api/v1/firn/tables/:name', async (c) => {
    const mode = c.req.query('mode') ?? 'replace';
    const name = c.req.param('name');
    checkTableName(name);
    if (mode !== 'replace' && mode !== 'append')
      return c.json({ status: 'error', errorType: 'bad_data', error: 'mode is replace or append' }, 400);
    await mkdir(workDirectory, { recursive: true });
    const folder = await mkdtemp(join(workDirectory, 'csv-'));
    try {
      const csvPath = join(folder, 'body.csv');
      await saveBody(c, csvPath);
      const file = await csvToParquet(csvPath, folder);
      const table = await tablesOf(c).load(name, file, mode);
      return c.json({ status: 'success', data: { ...shown(table), rowsLoaded: file.rows } }, 201);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
  app.delete('/api/v1/firn/tables/:name', async (c) => {
    const name = c.req.param('name');
    if (await tablesOf(c).drop(name)) return c.json({ status: 'success', data: {} });
    return c.json({ status: 'error', errorType: 'not_found', error: `there is no table ${name}` }, 404);
  });
  return app;
}

async function saveBody(c: Context, path: string): Promise<void> {
  const { body } = c.req.raw;
  let bytes = 0;
  const limited = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      bytes += chunk.byteLength;
      if (bytes > csvBytesMax) throw tooLarge();
      yield chunk;
    }
  };
  const source = body ? Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]) : Readable.from([]);
  await pipeline(source, limited, createWriteStream(path));
  if (bytes > 0) return;
  throw new FirnError({
    ...{ code: 'invalid', operation: 'load table', subject: 'body' },
    message: 'the body is empty; it is no CSV with a header line',
  });
}

const tooLarge = (): FirnError =>
  new FirnError({
    code: 'limit',
    operation: 'load table',
    subject: 'csvBytesMax',
    message: `a CSV body has at most ${csvBytesMax} bytes (csvBytesMax): load the rest with mode=append`,
  });

const shown = ({ name, columns, files, updatedMs }: UserTable) => ({
  ...{ name, columns: columns.map(({ name: column, type }) => ({ name: column, type })) },
  ...{ files: files.length, rows: files.reduce((sum, { rows }) => sum + rows, 0) },
  updated: new Date(updatedMs).toISOString(),
});
