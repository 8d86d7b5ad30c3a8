import { type RawBuilder, sql } from 'kysely';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { repeat } from '../../lake/base/repeat.ts';
import type { MeteringDatabase } from './metering-database.ts';
import { countNames, noUse, peakNames, type Use, usedTogether } from './use.ts';

// What tenants use is counted here and added every few seconds to the rows of the hour, which all clouds share. A crash
// loses the counts of those seconds, and nothing else.

const flushMs = 5_000;
export const hourMs = 3_600_000;
/** Hours that are older are forgotten. */
const usageDaysMax = 400;
/** Rows of one statement. */
const rowsPerInsert = 100;

export interface UsageHour extends Use {
  readonly hourMs: number;
}

export interface Usage extends AsyncDisposable {
  add(tenant: string, used: Partial<Use>): void;
  /** What each tenant has used of this process since it started. */
  totals(): ReadonlyMap<string, Use>;
  /** What a tenant has used in this hour, by this cloud until now and by others some seconds ago. */
  thisHour(tenant: string): Use;
  /** Hours that begin in [fromMs, toMs), in order; those without use are left out. */
  read(tenant: string, fromMs: number, toMs: number): Promise<readonly UsageHour[]>;
  flush(): Promise<void>;
}

export async function openUsage(options: {
  readonly db: MeteringDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
}): Promise<Usage> {
  const { db, clock, logger } = options;
  const hourOf = (ms: number): number => Math.floor(ms / hourMs) * hourMs;
  /** By tenant and hour, not written yet. */
  let waiting = new Map<string, { readonly tenant: string; readonly hour_ms: number; use: Use }>();
  const totals = new Map<string, Use>();
  let written = { hour: hourOf(clock.nowMs()), byTenant: new Map<string, Use>() };

  const readThisHour = async (): Promise<void> => {
    const hour = hourOf(clock.nowMs());
    const rows = await db.selectFrom('usage_hour').selectAll().where('hour_ms', '=', hour).execute();
    written = { hour, byTenant: new Map(rows.map((row) => [row.tenant, useOf(row)])) };
  };
  const flush = async (): Promise<void> => {
    const taken = waiting;
    waiting = new Map();
    const rows = [...taken.values()].map(({ tenant, hour_ms, use }) => ({ tenant, hour_ms, ...use }));
    // One transaction: what is not written is counted on.
    try {
      await db.transaction().execute(async (tx) => {
        for (let from = 0; from < rows.length; from += rowsPerInsert)
          await addRows(tx, rows.slice(from, from + rowsPerInsert));
      });
    } catch (error) {
      for (const [key, each] of taken) {
        const later = waiting.get(key);
        waiting.set(key, later ? { ...each, use: usedTogether(each.use, later.use) } : each);
      }
      throw error;
    }
    await readThisHour();
  };
  await readThisHour();
  const failing = 'what tenants use is not written';
  const writing = repeat({ clock, logger, everyMs: flushMs, failing }, async () => {
    await flush();
    const oldestMs = hourOf(clock.nowMs()) - usageDaysMax * 24 * hourMs;
    await db.deleteFrom('usage_hour').where('hour_ms', '<', oldestMs).execute();
  });
  return {
    add: (tenant, used) => {
      const hour_ms = hourOf(clock.nowMs());
      const key = `${tenant} ${hour_ms}`;
      const before = waiting.get(key)?.use ?? noUse;
      waiting.set(key, { tenant, hour_ms, use: usedTogether(before, { ...noUse, ...used }) });
      totals.set(tenant, usedTogether(totals.get(tenant) ?? noUse, { ...noUse, ...used }));
    },
    totals: () => totals,
    thisHour: (tenant) => {
      const hour = hourOf(clock.nowMs());
      const known = written.hour === hour ? written.byTenant.get(tenant) : undefined;
      return usedTogether(known ?? noUse, waiting.get(`${tenant} ${hour}`)?.use ?? noUse);
    },
    read: async (tenant, fromMs, toMs) => {
      await flush();
      const hours = db.selectFrom('usage_hour').selectAll().where('tenant', '=', tenant);
      const rows = await hours
        .where('hour_ms', '>=', fromMs)
        .where('hour_ms', '<', toMs)
        .orderBy('hour_ms')
        .execute();
      return rows.map((row) => ({ hourMs: Number(row.hour_ms), ...useOf(row) }));
    },
    flush,
    [Symbol.asyncDispose]: async () => {
      await writing[Symbol.asyncDispose]();
      await flush().catch(() => undefined); // Logged by the loop; these seconds are lost, as by a crash.
    },
  };
}

/** Numbers, whatever the database gives for them. */
const useOf = (row: Use): Use =>
  Object.fromEntries([...countNames, ...peakNames].map((name) => [name, Number(row[name])])) as Use;

async function addRows(
  tx: MeteringDatabase,
  rows: readonly (Use & { readonly tenant: string; readonly hour_ms: number })[],
): Promise<void> {
  const table = 'usage_hour';
  const sum = (name: string): RawBuilder<number> =>
    sql`${sql.ref(`${table}.${name}`)} + ${sql.ref(`excluded.${name}`)}`;
  const highest = (name: string): RawBuilder<number> => {
    const [old, next] = [sql.ref(`${table}.${name}`), sql.ref(`excluded.${name}`)];
    return sql`CASE WHEN ${next} > ${old} THEN ${next} ELSE ${old} END`;
  };
  const update = Object.fromEntries([
    ...countNames.map((name) => [name, sum(name)]),
    ...peakNames.map((name) => [name, highest(name)]),
  ]);
  await tx
    .insertInto(table)
    .values(rows)
    .onConflict((conflict) => conflict.columns(['tenant', 'hour_ms']).doUpdateSet(update))
    .execute();
}
