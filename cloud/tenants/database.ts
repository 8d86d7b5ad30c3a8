import { chmodSync, closeSync, existsSync, mkdirSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import Sqlite from 'better-sqlite3';
import { type ColumnType, Kysely, PostgresAdapter, PostgresDialect, SqliteDialect, sql } from 'kysely';
import { auditKeepDaysMin } from './audit-retention.ts';

// Where tenants and keys are kept: a file beside the cloud, or a PostgreSQL that several clouds share. Everything above
// this file is written once for both.

/** Times are milliseconds since the Unix epoch; what is a list or an object is JSON. */
export interface Schema {
  readonly tenant: {
    readonly id: string;
    readonly created_ms: number;
    readonly suspended_ms: number | null;
  };
  readonly api_key: {
    readonly id: string;
    readonly tenant: string | null;
    readonly description: string;
    readonly secret_sha256: string;
    readonly scram: string;
    readonly scopes: string;
    readonly restriction: string | null;
    readonly created_ms: number;
    readonly expires_ms: number | null;
    readonly revoked_ms: number | null;
    readonly last_used_ms: number | null;
  };
  readonly audit: {
    readonly id: ColumnType<number, never, never>;
    readonly at_ms: number;
    readonly actor: string;
    readonly address: string;
    readonly action: string;
    readonly tenant: string | null;
    readonly subject: string;
    readonly detail: string;
    readonly result: string;
  };
  /** One row; it counts changes of tenants and keys, so that whoever keeps a copy sees that it is old. */
  readonly change: { readonly id: number; readonly count: number };
}

export type TenantDatabase = Kysely<Schema>;

/** Connections to PostgreSQL; the store asks one short question at a time. */
const connectionsMax = 4;
const connectMsMax = 5_000;

/** `postgres://…`, or the path of an SQLite file, which is made readable by its owner alone. */
export async function openTenantDatabase(where: string): Promise<TenantDatabase> {
  const postgres = /^postgres(ql)?:/.test(where);
  const db = new Kysely<Schema>({ dialect: postgres ? await postgresDialect(where) : sqliteDialect(where) });
  try {
    await makeTables(db, (tx) => migrate(tx, postgres));
  } catch (error) {
    await db.destroy();
    throw error;
  }
  return db;
}

/** Loads the client only for those who keep tenants there. */
async function postgresDialect(connectionString: string): Promise<PostgresDialect> {
  const { Pool } = await import('pg');
  const pool = new Pool({ connectionString, max: connectionsMax, connectionTimeoutMillis: connectMsMax });
  // A connection that breaks while nobody uses it is no reason to end the process; the next query opens another.
  pool.on('error', () => undefined);
  return new PostgresDialect({ pool });
}

function sqliteDialect(path: string): SqliteDialect {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
  chmodSync(path, 0o600);
  const database = new Sqlite(path, { timeout: 5_000 });
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  return new SqliteDialect({ database });
}

/** Makes what is not there yet. Clouds that start at once wait for each other. */
export async function makeTables(
  db: TenantDatabase,
  make: (tx: TenantDatabase) => Promise<void>,
): Promise<void> {
  const lock = 7_041_226; // any number that nothing else in the database uses
  const postgres = db.getExecutor().adapter instanceof PostgresAdapter;
  await db.transaction().execute(async (tx) => {
    if (postgres) await sql`SELECT pg_advisory_xact_lock(${sql.lit(lock)})`.execute(tx);
    await make(tx);
  });
}

async function migrate(tx: TenantDatabase, postgres: boolean): Promise<void> {
  const number = postgres ? ('bigint' as const) : ('integer' as const);
  await tx.schema
    .createTable('tenant')
    .ifNotExists()
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('created_ms', number, (column) => column.notNull())
    .addColumn('suspended_ms', number)
    .execute();
  await tx.schema
    .createTable('api_key')
    .ifNotExists()
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('tenant', 'text', (column) => column.references('tenant.id'))
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('secret_sha256', 'text', (column) => column.notNull().unique())
    .addColumn('scram', 'text', (column) => column.notNull())
    .addColumn('scopes', 'text', (column) => column.notNull())
    .addColumn('restriction', 'text')
    .addColumn('created_ms', number, (column) => column.notNull())
    .addColumn('expires_ms', number)
    .addColumn('revoked_ms', number)
    .addColumn('last_used_ms', number)
    .execute();
  await tx.schema
    .createTable('audit')
    .ifNotExists()
    .addColumn('id', postgres ? 'bigserial' : 'integer', (column) =>
      postgres ? column.primaryKey() : column.primaryKey().autoIncrement(),
    )
    .addColumn('at_ms', number, (column) => column.notNull())
    .addColumn('actor', 'text', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('action', 'text', (column) => column.notNull())
    .addColumn('tenant', 'text')
    .addColumn('subject', 'text', (column) => column.notNull())
    .addColumn('detail', 'text', (column) => column.notNull())
    .execute();
  await addAuditResult(tx);
  await keepAudit(tx, postgres);
  await tx.schema
    .createTable('change')
    .ifNotExists()
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('count', number, (column) => column.notNull())
    .execute();
  await tx
    .insertInto('change')
    .values({ id: 1, count: 0 })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** Lines of earlier versions are all about what was done. */
async function addAuditResult(tx: TenantDatabase): Promise<void> {
  const tables = await tx.introspection.getTables();
  const audit = tables.find(({ name }) => name === 'audit');
  if (audit?.columns.some(({ name }) => name === 'result')) return;
  await tx.schema
    .alterTable('audit')
    .addColumn('result', 'text', (column) => column.notNull().defaultTo('done'))
    .execute();
}

/** Lines are added, and then stay as they are: nothing changes one, and nothing removes one before its time. */
async function keepAudit(tx: TenantDatabase, postgres: boolean): Promise<void> {
  const youngMs = auditKeepDaysMin * 86_400_000;
  const refusal = 'the audit log is append-only';
  if (!postgres) {
    const triggers = [
      ['audit_keeps_update', 'BEFORE UPDATE ON audit'],
      ['audit_keeps_delete', `BEFORE DELETE ON audit WHEN OLD.at_ms > unixepoch() * 1000 - ${youngMs}`],
    ];
    for (const [name, when] of triggers) {
      await sql.raw(`DROP TRIGGER IF EXISTS ${name}`).execute(tx);
      await sql
        .raw(`CREATE TRIGGER ${name} ${when} BEGIN SELECT RAISE(ABORT, '${refusal}'); END`)
        .execute(tx);
    }
    return;
  }
  await sql
    .raw(
      `CREATE OR REPLACE FUNCTION firn_audit_keeps() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF TG_OP = 'DELETE' AND OLD.at_ms <= extract(epoch FROM now()) * 1000 - ${youngMs} THEN RETURN OLD; END IF;
      RAISE EXCEPTION '${refusal}'; END $$`,
    )
    .execute(tx);
  await sql`DROP TRIGGER IF EXISTS audit_keeps ON audit`.execute(tx);
  await sql`CREATE OR REPLACE TRIGGER audit_keeps_lines BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION firn_audit_keeps()`.execute(tx);
  await sql`CREATE OR REPLACE TRIGGER audit_keeps_all BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION firn_audit_keeps()`.execute(tx);
}
