import type { DuckDBConnection } from '@duckdb/node-api';
import type { Engine } from './duckdb/engine.ts';
import { SqlError } from './errors.ts';
import { identifier } from './print/expression.ts';
import type { SqlColumn } from './sql-session.ts';
import { ddlOf, type TempTableDefinition } from './temp-definition.ts';
import { createLevels, type Levels, type TransactionEvent } from './temp-levels.ts';
import { createTempSequences, type TempSequences } from './temp-sequences.ts';
import { createTempViews, type TempViews } from './temp-views.ts';

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
  readonly definition: TempTableDefinition;
  /** Its name in the engine, quoted. */
  readonly from: string;
}

export interface TempTables extends AsyncDisposable {
  list(): readonly TempTable[];
  find(name: string): TempTable | undefined;
  /** Makes an empty table and lets `load` put rows into it; when that fails there is none. Throws SqlError 42P07, 53400. */
  create(definition: TempTableDefinition, load?: (table: TempTable) => Promise<void>): Promise<void>;
  /** Lets `write` change the table, which is a copy when a transaction may have to go back. Throws SqlError 42P01. */
  change<T>(name: string, write: (table: TempTable) => Promise<T>): Promise<T>;
  /**
   * Makes another table of it, with these values of its columns in the order of the new ones. Throws SqlError 42P01, and 42P07 for a
   * new name that there is.
   */
  alter(name: string, definition: TempTableDefinition, values: readonly string[]): Promise<void>;
  /** Throws SqlError 42P01. */
  drop(name: string): Promise<void>;
  /** Removes all rows. Throws SqlError 42P01. */
  empty(name: string): Promise<void>;
  dropAll(): Promise<void>;
  transaction(event: TransactionEvent): Promise<void>;
  readonly sequences: TempSequences;
  readonly views: TempViews;
}

const versionName = (name: string, version: number): string => `${name} firn~${version}`;
/** A message of DuckDB's with the names that tables have for the user. */
export const withoutVersions = (message: string): string => message.replaceAll(/ firn~s?\d+/g, '');

interface TableStates {
  readonly levels: Levels<TempTable>;
  /** Throws SqlError 42P01. */
  known(name: string): TempTable;
  /** The table itself, or a copy where a transaction may go back to it. */
  writable(name: string): Promise<TempTable>;
  afterCommit(): Promise<void>;
  sweep(): Promise<void>;
  /** Outside of a transaction each statement is one. */
  statementEnded(): Promise<void>;
}

function createTableStates(store: VersionStore): TableStates {
  const levels = createLevels<TempTable>();
  const known = (name: string): TempTable => {
    const version = levels.top().get(name);
    if (version) return version;
    throw new SqlError('42P01', `table "${name}" does not exist`, {
      hint: 'only temporary tables of this session can be written or dropped',
    });
  };
  const afterCommit = async (): Promise<void> => {
    for (const [name, { definition }] of [...levels.top()]) {
      if (definition.onCommit === 'drop') levels.top().delete(name);
      if (definition.onCommit === 'delete') levels.top().set(name, await store.make(definition));
    }
  };
  const sweep = (): Promise<void> => store.sweep(levels.isKnown);
  return {
    ...{ levels, known, afterCommit, sweep },
    writable: async (name) => {
      const version = known(name);
      if (!levels.isKept(version)) return version;
      const copy = await store.make(version.definition, { of: version, values: ['*'] });
      levels.top().set(name, copy);
      return copy;
    },
    statementEnded: async () => {
      if (!levels.inTransaction()) await afterCommit();
      await sweep();
    },
  };
}

/** `engine` is used when there is a first table. */
export function createTempTables(engine: Engine): TempTables {
  const store = createVersionStore(engine);
  const { levels, known, writable, afterCommit, sweep, statementEnded } = createTableStates(store);
  const sequences = createTempSequences(store.home);
  const views = createTempViews();
  const refuseTaken = (name: string): void => {
    if (levels.top().has(name) || views.find(name) || sequences.find(name))
      throw new SqlError('42P07', `relation "${name}" already exists`);
  };

  return {
    ...{ sequences, views },
    list: () => [...levels.top().values()],
    find: (name) => levels.top().get(name),
    create: async (definition, load) => {
      const { name } = definition;
      refuseTaken(name);
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
    alter: async (name, definition, values) => {
      const version = known(name);
      if (definition.name !== name) refuseTaken(definition.name);
      try {
        const altered = await store.make(definition, { of: version, values });
        levels.top().delete(name);
        levels.top().set(definition.name, altered);
      } finally {
        await statementEnded();
      }
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
      sequences.dropAll();
      views.dropAll();
      await sweep();
    },
    transaction: async (event) => {
      levels.move(event);
      sequences.transaction(event);
      views.transaction(event);
      if (event.kind === 'commit') await afterCommit();
      await sweep();
    },
    [Symbol.asyncDispose]: store[Symbol.asyncDispose],
  };
}

interface Rows {
  readonly of: TempTable;
  /** SQL of the values. */
  readonly values: readonly string[];
}

interface VersionStore extends AsyncDisposable {
  /** A new table, empty or with the rows of another. */
  make(definition: TempTableDefinition, rows?: Rows): Promise<TempTable>;
  /** The session's schema in the engine, which is made when it is first asked for. */
  home(): Promise<{ readonly connection: DuckDBConnection; readonly schema: string }>;
  /** Drops those that are of no use to anybody. */
  sweep(isKnown: (version: TempTable) => boolean): Promise<void>;
}

let lastSession = 0;

/** The versions of tables in the engine, in a schema of the session's own, which goes with it. */
function createVersionStore(engine: Engine): VersionStore {
  const schema = `firn_temp_${++lastSession}`;
  const versions = new Set<TempTable>();
  let lastVersion = 0;
  let home: Promise<DuckDBConnection> | undefined;
  const open = async (): Promise<DuckDBConnection> => {
    const connection = await engine.connect();
    await connection.run(`CREATE SCHEMA ${schema}`);
    return connection;
  };
  return {
    home: async () => {
      home ??= open();
      return { connection: await home, schema };
    },
    make: async (definition, rows) => {
      home ??= open();
      const connection = await home;
      const from = `${schema}.${identifier(versionName(definition.name, ++lastVersion))}`;
      await connection.run(`CREATE TABLE ${from} (${ddlOf(definition)})`);
      const version = { name: definition.name, definition, from, columns: await columnsOf(connection, from) };
      versions.add(version);
      if (rows)
        await connection.run(`INSERT INTO ${from} SELECT ${rows.values.join(', ')} FROM ${rows.of.from}`);
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
