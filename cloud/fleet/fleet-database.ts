import { randomBytes } from 'node:crypto';
import type { Kysely } from 'kysely';
import { makeTables, type Schema, type TenantDatabase } from '../tenants/database.ts';

// Claims and gateways, beside tenants and keys.

/** Times are milliseconds since the Unix epoch. */
// A type and not an interface: kysely wants one that it can index.
type FleetSchema = {
  readonly claim: {
    readonly id: string;
    readonly tenant: string;
    readonly site: string;
    /** The gateway that it is for; null: a new one. */
    readonly gateway: string | null;
    readonly code_sha256: string;
    readonly description: string;
    readonly created_ms: number;
    readonly expires_ms: number;
    readonly revoked_ms: number | null;
    readonly used_ms: number | null;
    readonly used_by: string | null;
    /** The device that it is for, whose key alone can use it; null: whoever has the claim. */
    readonly device_code: string | null;
  };
  readonly gateway: {
    readonly tenant: string;
    readonly id: string;
    readonly site: string;
    /** Hex SHA-256 of the device's public key (SPKI): who has that key is this gateway. */
    readonly key_sha256: string;
    /** A key that it has a certificate for, and has not yet come with. */
    readonly next_key_sha256: string | null;
    readonly created_ms: number;
    readonly certificate_until_ms: number;
    readonly revoked_ms: number | null;
    readonly group_name: string;
  };
  /** See rollouts.ts; settings, firmware and plan are JSON. */
  readonly rollout: {
    readonly tenant: string;
    readonly number: number;
    readonly description: string;
    readonly settings: string;
    readonly firmware: string | null;
    readonly plan: string;
    readonly state: string;
    readonly stage: number;
    readonly stage_since_ms: number;
    readonly created_ms: number;
    readonly detail: string;
  };
  readonly command: {
    readonly id: string;
    readonly tenant: string;
    readonly gateway: string;
    readonly command: string;
    readonly created_ms: number;
    readonly created_by: string;
    readonly expires_ms: number;
    readonly done_ms: number | null;
    readonly ok: number | null;
    readonly output: string;
  };
  /** What a gateway has said last, written now and then for all together. */
  readonly gateway_report: {
    readonly tenant: string;
    readonly gateway: string;
    readonly seen_ms: number;
    readonly address: string;
    readonly report: string;
  };
  /** One row: what tokens are signed with, the same for all clouds over this database. */
  readonly fleet_secret: { readonly id: number; readonly secret: string };
};

export type FleetDatabase = Kysely<Schema & FleetSchema>;
export type GatewayRow = FleetSchema['gateway'];
export type RolloutRow = FleetSchema['rollout'];
export type ClaimRow = FleetSchema['claim'];

/** Gateways of a tenant, with what each has said last. */
export const gatewaysWithReports = (db: FleetDatabase, tenant: string) =>
  db
    .selectFrom('gateway')
    .leftJoin('gateway_report as said', (join) =>
      join.onRef('said.tenant', '=', 'gateway.tenant').onRef('said.gateway', '=', 'gateway.id'),
    )
    .selectAll('gateway')
    .select(['said.seen_ms', 'said.address', 'said.report'])
    .where('gateway.tenant', '=', tenant);

/** Makes the tables where there are none. */
export async function openFleetDatabase(db: TenantDatabase): Promise<FleetDatabase> {
  await makeTables(db, makeFleetTables);
  await makeTables(db, makeOrderTables);
  return fleetTables(db);
}

export const fleetTables = (db: TenantDatabase): FleetDatabase => db.withTables<FleetSchema>();

async function makeFleetTables(db: TenantDatabase): Promise<void> {
  const tx = fleetTables(db);
  await tx.schema
    .createTable('claim')
    .ifNotExists()
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenant.id'))
    .addColumn('site', 'text', (column) => column.notNull())
    .addColumn('gateway', 'text')
    .addColumn('code_sha256', 'text', (column) => column.notNull().unique())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('created_ms', 'bigint', (column) => column.notNull())
    .addColumn('expires_ms', 'bigint', (column) => column.notNull())
    .addColumn('revoked_ms', 'bigint')
    .addColumn('used_ms', 'bigint')
    .addColumn('used_by', 'text')
    .addColumn('device_code', 'text')
    .execute();
  await addColumnOfLaterVersion(tx, 'claim', 'device_code');
  await tx.schema
    .createTable('gateway')
    .ifNotExists()
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenant.id'))
    .addColumn('id', 'text', (column) => column.notNull())
    .addColumn('site', 'text', (column) => column.notNull())
    .addColumn('key_sha256', 'text', (column) => column.notNull())
    .addColumn('next_key_sha256', 'text')
    .addColumn('created_ms', 'bigint', (column) => column.notNull())
    .addColumn('certificate_until_ms', 'bigint', (column) => column.notNull())
    .addColumn('revoked_ms', 'bigint')
    .addColumn('group_name', 'text', (column) => column.notNull().defaultTo(''))
    .addPrimaryKeyConstraint('gateway_pk', ['tenant', 'id'])
    .execute();
  await tx.schema
    .createTable('gateway_report')
    .ifNotExists()
    .addColumn('tenant', 'text', (column) => column.notNull())
    .addColumn('gateway', 'text', (column) => column.notNull())
    .addColumn('seen_ms', 'bigint', (column) => column.notNull())
    .addColumn('address', 'text', (column) => column.notNull())
    .addColumn('report', 'text', (column) => column.notNull())
    .addPrimaryKeyConstraint('gateway_report_pk', ['tenant', 'gateway'])
    .execute();
  await tx.schema
    .createTable('fleet_secret')
    .ifNotExists()
    .addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('secret', 'text', (column) => column.notNull())
    .execute();
  await tx
    .insertInto('fleet_secret')
    .values({ id: 1, secret: randomBytes(32).toString('hex') })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

/** What gateways are to do. */
async function makeOrderTables(db: TenantDatabase): Promise<void> {
  const tx = fleetTables(db);
  await tx.schema
    .createTable('rollout')
    .ifNotExists()
    .addColumn('tenant', 'text', (column) => column.notNull().references('tenant.id'))
    .addColumn('number', 'integer', (column) => column.notNull())
    .addColumn('description', 'text', (column) => column.notNull())
    .addColumn('settings', 'text', (column) => column.notNull())
    .addColumn('plan', 'text', (column) => column.notNull())
    .addColumn('state', 'text', (column) => column.notNull())
    .addColumn('stage', 'integer', (column) => column.notNull())
    .addColumn('stage_since_ms', 'bigint', (column) => column.notNull())
    .addColumn('created_ms', 'bigint', (column) => column.notNull())
    .addColumn('detail', 'text', (column) => column.notNull())
    .addColumn('firmware', 'text')
    .addPrimaryKeyConstraint('rollout_pk', ['tenant', 'number'])
    .execute();
  await addColumnOfLaterVersion(tx, 'rollout', 'firmware');
  await tx.schema
    .createTable('command')
    .ifNotExists()
    .addColumn('id', 'text', (column) => column.primaryKey())
    .addColumn('tenant', 'text', (column) => column.notNull())
    .addColumn('gateway', 'text', (column) => column.notNull())
    .addColumn('command', 'text', (column) => column.notNull())
    .addColumn('created_ms', 'bigint', (column) => column.notNull())
    .addColumn('created_by', 'text', (column) => column.notNull())
    .addColumn('expires_ms', 'bigint', (column) => column.notNull())
    .addColumn('done_ms', 'bigint')
    .addColumn('ok', 'integer')
    .addColumn('output', 'text', (column) => column.notNull())
    .execute();
  await tx.schema
    .createIndex('command_waiting')
    .ifNotExists()
    .on('command')
    .columns(['tenant', 'gateway', 'done_ms'])
    .execute();
}

async function addColumnOfLaterVersion(tx: FleetDatabase, table: string, column: string): Promise<void> {
  const made = (await tx.introspection.getTables()).find(({ name }) => name === table);
  if (!made?.columns.some(({ name }) => name === column))
    await tx.schema.alterTable(table).addColumn(column, 'text').execute();
}
