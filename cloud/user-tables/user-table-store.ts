import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { type UserType, userTypes, widened } from './column-types.ts';

// A tenant's own tables: asset lists, shift calendars. Each is one document that names its columns and Parquet files,
// swapped in one step; who loses the race reads it again.

const tableJson = z.object({
  format: z.literal(1),
  name: z.string(),
  columns: z.array(z.object({ name: z.string(), type: z.enum(userTypes) })),
  files: z.array(z.object({ key: z.string(), bytes: z.number(), rows: z.number() })),
  updatedMs: z.number(),
  /** Files that are no longer read, and since when: views may still be open. */
  retired: z.array(z.object({ key: z.string(), sinceMs: z.number() })).default([]),
});

export type UserTable = z.infer<typeof tableJson>;
export interface UserColumn {
  readonly name: string;
  readonly type: UserType;
}

/** A file that a load has made, and its columns. */
export interface LoadedFile {
  readonly path: string;
  readonly bytes: number;
  readonly rows: number;
  readonly columns: readonly UserColumn[];
}

export interface UserTableStore {
  list(): Promise<readonly UserTable[]>;
  /** Throws FirnError `conflict` when others load the same table all the time, `limit` for too many columns or files. */
  load(name: string, file: LoadedFile, mode: 'replace' | 'append'): Promise<UserTable>;
  /** False when there is no such table. */
  drop(name: string): Promise<boolean>;
}

const limits = { tablesMax: 1_000, columnsMax: 500, filesMax: 1_000 } as const;
const attemptsMax = 10;
const retiredKeptMs = 3_600_000;

/** Throws FirnError `invalid` for a name that no table can have. */
export function checkTableName(name: string): void {
  const why = (tableNames as readonly string[]).includes(name)
    ? 'is the name of a table of the lake'
    : /^[a-z][a-z0-9_]{0,62}$/.test(name)
      ? undefined
      : 'is no table name: lower-case letters, digits and _, at most 63, a letter first';
  if (why === undefined) return;
  throw new FirnError({
    code: 'invalid',
    operation: 'load table',
    subject: name,
    message: `${JSON.stringify(name)} ${why}`,
  });
}

export function userTableStore(store: ObjectStore, tenant: TenantId, clock: Clock): UserTableStore {
  const prefix = `${tenant}/tables/`;
  const keyOf = (name: string): string => `${prefix}${name}/table.json`;

  async function read(name: string): Promise<{ table: UserTable; etag: string } | undefined> {
    const key = keyOf(name);
    try {
      const { body, etag } = await store.get(key);
      return { table: parseDocument(tableJson, Buffer.from(body).toString(), 'user table', key), etag };
    } catch (error) {
      if (hasCode(error, 'not-found')) return undefined;
      throw error;
    }
  }

  async function swap(table: UserTable, etag: string | undefined): Promise<boolean> {
    const body = Buffer.from(`${JSON.stringify(table)}\n`);
    try {
      if (etag === undefined) await store.putIfAbsent(keyOf(table.name), body);
      else await store.putIfMatch(keyOf(table.name), body, etag);
      return true;
    } catch (error) {
      if (hasCode(error, 'conflict') || hasCode(error, 'not-found')) return false;
      throw error;
    }
  }

  return {
    list: async () => {
      const names: string[] = [];
      for await (const name of store.listFolders(prefix)) if (names.push(name) >= limits.tablesMax) break;
      const found = await Promise.all(names.map(read));
      return found.flatMap((each) => each?.table ?? []);
    },
    load: async (name, { path, bytes, rows, columns }, mode) => {
      checkTableName(name);
      const key = `${prefix}${name}/data/${randomUUID()}.parquet`;
      await store.putFile(key, path);
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        const before = await read(name);
        const nowMs = clock.nowMs();
        const next = nextTable(name, before?.table, { key, bytes, rows }, columns, mode, nowMs);
        if (!(await swap(next.table, before?.etag))) continue;
        for (const old of next.gone) await store.delete(old);
        return next.table;
      }
      await store.delete(key);
      throw new FirnError({
        code: 'conflict',
        operation: 'load table',
        subject: name,
        message: `others loaded ${name} first, ${attemptsMax} times in a row`,
      });
    },
    drop: async (name) => {
      const before = await read(name);
      if (!before) return false;
      await store.delete(keyOf(name));
      for (const { key } of [...before.table.files, ...before.table.retired]) await store.delete(key);
      return true;
    },
  };
}

function nextTable(
  name: string,
  before: UserTable | undefined,
  file: UserTable['files'][number],
  columns: readonly UserColumn[],
  mode: 'replace' | 'append',
  nowMs: number,
): { table: UserTable; gone: string[] } {
  const kept = mode === 'append' ? (before?.files ?? []) : [];
  const retired = [
    ...(before?.retired ?? []),
    ...(before?.files ?? [])
      .filter((each) => !kept.includes(each))
      .map(({ key }) => ({ key, sinceMs: nowMs })),
  ];
  const isGone = ({ sinceMs }: { sinceMs: number }): boolean => nowMs - sinceMs >= retiredKeptMs;
  const all = mode === 'append' ? evolved(before?.columns ?? [], columns) : [...columns];
  const files = [...kept, file];
  if (all.length > limits.columnsMax) throw tooMany(name, 'columnsMax', limits.columnsMax);
  if (files.length > limits.filesMax) throw tooMany(name, 'filesMax', limits.filesMax);
  const left = retired.filter((each) => !isGone(each));
  const table: UserTable = { format: 1, name, columns: all, files, updatedMs: nowMs, retired: left };
  return { table, gone: retired.filter(isGone).map(({ key }) => key) };
}

/** Columns that were there keep their place, and become as wide as both; new ones come after them. */
function evolved(before: readonly UserColumn[], loaded: readonly UserColumn[]): UserColumn[] {
  const byName = new Map(loaded.map((column) => [column.name, column]));
  const known = new Set(before.map(({ name }) => name));
  return [
    ...before.map(({ name, type }) => ({ name, type: widened(type, byName.get(name)?.type ?? type) })),
    ...loaded.filter(({ name }) => !known.has(name)),
  ];
}

function tooMany(name: string, subject: string, max: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'load table',
    subject,
    message: `table ${name} would have more than ${max} (${subject})`,
    hint: subject === 'filesMax' ? 'load the whole table once with mode=replace' : undefined,
  } as ConstructorParameters<typeof FirnError>[0]);
}
