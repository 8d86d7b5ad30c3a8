import type { Kysely } from 'kysely';
import { makeTables, type Schema, type TenantDatabase } from '../tenants/database.ts';
import { countNames, peakNames, type Use } from './use.ts';

// Limits of tenants and what they have used, beside tenants and keys.

// A type and not an interface: kysely wants one that it can index.
type MeteringSchema = {
  /** What goes for one tenant instead of for all; JSON. */
  readonly tenant_limits: { readonly tenant: string; readonly limits: string };
  /** What was used in the hour that begins then. All clouds add to it. */
  readonly usage_hour: Use & { readonly tenant: string; readonly hour_ms: number };
};

export type MeteringDatabase = Kysely<Schema & MeteringSchema>;

/** Makes the tables where there are none. */
export async function openMeteringDatabase(db: TenantDatabase): Promise<MeteringDatabase> {
  await makeTables(db, async (tx) => {
    await tx.schema
      .createTable('tenant_limits')
      .ifNotExists()
      .addColumn('tenant', 'text', (column) => column.primaryKey().references('tenant.id'))
      .addColumn('limits', 'text', (column) => column.notNull())
      .execute();
    let usage = tx.schema
      .createTable('usage_hour')
      .ifNotExists()
      .addColumn('tenant', 'text', (column) => column.notNull().references('tenant.id'))
      .addColumn('hour_ms', 'bigint', (column) => column.notNull());
    for (const name of [...countNames, ...peakNames])
      usage = usage.addColumn(name, 'bigint', (column) => column.notNull().defaultTo(0));
    await usage.addPrimaryKeyConstraint('usage_hour_pk', ['tenant', 'hour_ms']).execute();
  });
  return meteringTables(db);
}

export const meteringTables = (db: TenantDatabase): MeteringDatabase => db.withTables<MeteringSchema>();
