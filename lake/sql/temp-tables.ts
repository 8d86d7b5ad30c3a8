import type { DuckDBConnection } from '@duckdb/node-api';
import type { Engine } from './duckdb/engine.ts';
import { SqlError } from './errors.ts';
import { identifier } from './print/expression.ts';
import type { SqlColumn } from './sql-session.ts';

// The temporary tables of one session. They are tables of the tenant's engine, in a schema that no statement can name: so
// they take of its memory and its disk, and each statement may read them on a connection of its own. DuckDB's own
// transactions would tie all statements of a transaction to one connection, and it has no savepoints. Instead a table is
// changed in place where nothing can take the change back, and else as a copy: what a transaction or a savepoint may
// have to go back to stays as it was.

/** Tables of one session; one more is refused (53400). */
export const tempTablesMax = 100;

export interface TempTable {
  readonly name: string;
  readonly columns: readonly SqlColumn[];
  /** Its name in the engine, quoted. */
  readonly from: string;
}

/** What a table is made of, so that a copy can be made. */
export interface TempTableDefinition {
  readonly name: string;
  /** What stands in the parentheses of CREATE TABLE. */
  readonly ddl: string;
  readonly onCommit: 'preserve' | 'delete' | 'drop';
}

/** What the protocol tells of transactions. `depth` of a savepoint is how many there are before it. */
export type TransactionEvent =
  | { readonly kind: 'begin' | 'commit' | 'rollback' | 'savepoint' }
  | { readonly kind: 'release' | 'rollback-to'; readonly depth: number };

export interface TempTables extends AsyncDisposable {
  list(): readonly TempTable[];
  find(name: string): TempTable | undefined;
  /** Makes an empty table and lets `load` put rows into it; when that fails there is none. Throws SqlError 42P07, 53400. */
  create(definition: TempTableDefinition, load?: (table: TempTable) => Promise<void>): Promise<void>;
  /** Lets `write` change the table, which is a copy when a transaction may have to go back. Throws SqlError 42P01. */
  change<T>(name: string, write: (table: TempTable) => Promise<T>): Promise<T>;
  /** Throws SqlError 42P01. */
  drop(name: string): Promise<void>;
  /** Removes all rows. Throws SqlError 42P01. */
  empty(name: string): Promise<void>;
  dropAll(): Promise<void>;
  transaction(event: TransactionEvent): Promise<void>;
}

/** A state of a table. What another level knows, too, is not written. */
interface Version extends TempTable {
  readonly definition: TempTableDefinition;
}

type Level = Map<string, Version>;

const versionName = (name: string, version: number): string => `${name} firn~${version}`;
/** A message of DuckDB's with the names that tables have for the user. */
export const withoutVersions = (message: string): string => message.replaceAll(/ firn~\d+/g, '');

let lastSession = 0;

/** `engine` is used when there is a first table. */
export function createTempTables(engine: Engine): TempTables {
  const schema = `firn_temp_${++lastSession}`;
  /** Outside of a transaction one; then one for it, and one for each of its savepoints. The last is what statements see. */
  let levels: Level[] = [new Map()];
  const versions = new Set<Version>();
  let lastVersion = 0;
  let home: Promise<DuckDBConnection> | undefined;

  const open = async (): Promise<DuckDBConnection> => {
    const connection = await engine.connect();
    await connection.run(`CREATE SCHEMA ${schema}`);
    return connection;
  };
  const run = async (sql: string): Promise<void> => {
    home ??= open();
    await (await home).run(sql);
  };
  const top = (): Level => levels.at(-1) ?? new Map();
  const known = (name: string): Version => {
    const version = top().get(name);
    if (version) return version;
    throw new SqlError('42P01', `table "${name}" does not exist`, {
      hint: 'only temporary tables of this session can be written or dropped',
    });
  };
  const make = async (definition: TempTableDefinition): Promise<Version> => {
    const from = `${schema}.${identifier(versionName(definition.name, ++lastVersion))}`;
    await run(`CREATE TABLE ${from} (${definition.ddl})`);
    const columns = await columnsOf(await (home as Promise<DuckDBConnection>), from);
    const version = { name: definition.name, definition, from, columns };
    versions.add(version);
    return version;
  };
  const remove = async (version: Version): Promise<void> => {
    versions.delete(version);
    await run(`DROP TABLE ${version.from}`);
  };
  /** Versions that no level knows are of no use to anybody. */
  const sweep = async (): Promise<void> => {
    for (const version of versions) {
      if (!levels.some((level) => level.get(version.name) === version)) await remove(version);
    }
  };
  const isOfOthers = (version: Version): boolean =>
    levels.slice(0, -1).some((level) => level.get(version.name) === version);
  const writable = async (name: string): Promise<Version> => {
    const version = known(name);
    if (!isOfOthers(version)) return version;
    const copy = await make(version.definition);
    await run(`INSERT INTO ${copy.from} SELECT * FROM ${version.from}`);
    top().set(name, copy);
    return copy;
  };
  const afterCommit = async (): Promise<void> => {
    for (const [name, { definition }] of [...top()]) {
      if (definition.onCommit === 'drop') top().delete(name);
      if (definition.onCommit === 'delete') top().set(name, await make(definition));
    }
  };
  /** Outside of a transaction each statement is one. */
  const statementEnded = async (): Promise<void> => {
    if (levels.length === 1) await afterCommit();
    await sweep();
  };
  const move = (event: TransactionEvent): void => {
    switch (event.kind) {
      case 'begin':
      case 'savepoint':
        levels.push(new Map(top()));
        return;
      case 'commit':
        levels = [top()];
        return;
      case 'rollback':
        levels = levels.slice(0, 1);
        return;
      case 'release':
        levels = [...levels.slice(0, event.depth + 1), top()];
        return;
      case 'rollback-to': {
        levels = levels.slice(0, event.depth + 2);
        levels.push(new Map(top()));
      }
    }
  };

  return {
    list: () => [...top().values()],
    find: (name) => top().get(name),
    create: async (definition, load) => {
      const { name } = definition;
      if (top().has(name)) throw new SqlError('42P07', `relation "${name}" already exists`);
      if (top().size >= tempTablesMax)
        throw new SqlError('53400', `a session may have ${tempTablesMax} temporary tables (tempTablesMax)`);
      const version = await make(definition);
      try {
        await load?.(version);
      } catch (error) {
        await remove(version);
        throw error;
      }
      top().set(name, version);
      await statementEnded();
    },
    change: async (name, write) => {
      const result = await write(await writable(name));
      await statementEnded();
      return result;
    },
    drop: async (name) => {
      known(name);
      top().delete(name);
      await statementEnded();
    },
    empty: async (name) => {
      top().set(name, await make(known(name).definition));
      await statementEnded();
    },
    dropAll: async () => {
      top().clear();
      await sweep();
    },
    transaction: async (event) => {
      move(event);
      if (event.kind === 'commit') await afterCommit();
      await sweep();
    },
    [Symbol.asyncDispose]: async () => {
      if (!home) return;
      const connection = await home;
      await connection.run(`DROP SCHEMA ${schema} CASCADE`).catch(() => undefined); // The engine may be closed already.
      connection.closeSync();
    },
  };
}

async function columnsOf(connection: DuckDBConnection, from: string): Promise<SqlColumn[]> {
  const described = await connection.runAndReadAll(`DESCRIBE ${from}`);
  return described.getRowsJson().map(([name, type]) => ({ name: String(name), type: String(type) }));
}
