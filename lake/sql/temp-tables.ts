import type { DuckDBConnection } from '@duckdb/node-api';
import type { Engine } from './duckdb/engine.ts';
import { SqlError } from './errors.ts';
import { identifier } from './print/expression.ts';
import type { SqlColumn } from './sql-session.ts';
import { createLevels, type TransactionEvent } from './temp-levels.ts';

// The temporary tables of one session. They are tables of the tenant's engine, in a schema that no statement can name: so
// they take of its memory and its disk, and each statement may read them on a connection of its own. DuckDB's own
// transactions would tie all statements of a transaction to one connection, and it has no savepoints. Instead a table is
// changed in place where nothing can take the change back, and else as a copy: what a transaction or a savepoint may
// have to go back to stays as it was (temp-levels.ts).

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

/** A state of a table. */
interface Version extends TempTable {
  readonly definition: TempTableDefinition;
}

const versionName = (name: string, version: number): string => `${name} firn~${version}`;
/** A message of DuckDB's with the names that tables have for the user. */
export const withoutVersions = (message: string): string => message.replaceAll(/ firn~\d+/g, '');

/** `engine` is used when there is a first table. */
export function createTempTables(engine: Engine): TempTables {
  const levels = createLevels<Version>();
  const store = createVersionStore(engine);

  const known = (name: string): Version => {
    const version = levels.top().get(name);
    if (version) return version;
    throw new SqlError('42P01', `table "${name}" does not exist`, {
      hint: 'only temporary tables of this session can be written or dropped',
    });
  };
  const writable = async (name: string): Promise<Version> => {
    const version = known(name);
    if (!levels.isKept(version)) return version;
    const copy = await store.make(version.definition, version);
    levels.top().set(name, copy);
    return copy;
  };
  const afterCommit = async (): Promise<void> => {
    for (const [name, { definition }] of [...levels.top()]) {
      if (definition.onCommit === 'drop') levels.top().delete(name);
      if (definition.onCommit === 'delete') levels.top().set(name, await store.make(definition));
    }
  };
  const sweep = (): Promise<void> => store.sweep(levels.isKnown);
  /** Outside of a transaction each statement is one. */
  const statementEnded = async (): Promise<void> => {
    if (!levels.inTransaction()) await afterCommit();
    await sweep();
  };

  return {
    list: () => [...levels.top().values()],
    find: (name) => levels.top().get(name),
    create: async (definition, load) => {
      const { name } = definition;
      if (levels.top().has(name)) throw new SqlError('42P07', `relation "${name}" already exists`);
      if (levels.top().size >= tempTablesMax)
        throw new SqlError('53400', `a session may have ${tempTablesMax} temporary tables (tempTablesMax)`);
      try {
        const version = await store.make(definition);
        await load?.(version);
        levels.top().set(name, version);
      } finally {
        await statementEnded();
      }
    },
    change: async (name, write) => {
      const result = await write(await writable(name));
      await statementEnded();
      return result;
    },
    drop: async (name) => {
      known(name);
      levels.top().delete(name);
      await statementEnded();
    },
    empty: async (name) => {
      levels.top().set(name, await store.make(known(name).definition));
      await statementEnded();
    },
    dropAll: async () => {
      levels.top().clear();
      await sweep();
    },
    transaction: async (event) => {
      levels.move(event);
      if (event.kind === 'commit') await afterCommit();
      await sweep();
    },
    [Symbol.asyncDispose]: store[Symbol.asyncDispose],
  };
}

interface VersionStore extends AsyncDisposable {
  /** A new table, empty or with the rows of another version. */
  make(definition: TempTableDefinition, rowsOf?: Version): Promise<Version>;
  /** Drops those that are of no use to anybody. */
  sweep(isKnown: (version: Version) => boolean): Promise<void>;
}

let lastSession = 0;

/** The versions of tables in the engine, in a schema of the session's own, which goes with it. */
function createVersionStore(engine: Engine): VersionStore {
  const schema = `firn_temp_${++lastSession}`;
  const versions = new Set<Version>();
  let lastVersion = 0;
  let home: Promise<DuckDBConnection> | undefined;
  const open = async (): Promise<DuckDBConnection> => {
    const connection = await engine.connect();
    await connection.run(`CREATE SCHEMA ${schema}`);
    return connection;
  };
  return {
    make: async (definition, rowsOf) => {
      home ??= open();
      const connection = await home;
      const from = `${schema}.${identifier(versionName(definition.name, ++lastVersion))}`;
      await connection.run(`CREATE TABLE ${from} (${definition.ddl})`);
      const version = { name: definition.name, definition, from, columns: await columnsOf(connection, from) };
      versions.add(version);
      if (rowsOf) await connection.run(`INSERT INTO ${from} SELECT * FROM ${rowsOf.from}`);
      return version;
    },
    sweep: async (isKnown) => {
      for (const version of versions) {
        if (isKnown(version)) continue;
        versions.delete(version);
        await (await home)?.run(`DROP TABLE ${version.from}`);
      }
    },
    [Symbol.asyncDispose]: async () => {
      const connection = await home?.catch(() => undefined);
      // The engine may be closed already, and everything with it.
      await connection?.run(`DROP SCHEMA ${schema} CASCADE`).catch(() => undefined);
      connection?.closeSync();
    },
  };
}

async function columnsOf(connection: DuckDBConnection, from: string): Promise<SqlColumn[]> {
  const described = await connection.runAndReadAll(`DESCRIBE ${from}`);
  return described.getRowsJson().map(([name, type]) => ({ name: String(name), type: String(type) }));
}
