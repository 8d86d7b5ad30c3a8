import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import type { Actor, ChangeContext } from '../tenants/changes.ts';
import { noTenant } from '../tenants/tenant-administration.ts';
import type { TenantStore } from '../tenants/tenant-store.ts';
import { type OwnLimits, ownLimits, type TenantLimits } from './limits.ts';
import { createTenantMeter, type TenantMeter } from './meter.ts';
import { type MeteringDatabase, meteringTables, openMeteringDatabase } from './metering-database.ts';
import { openUsage, type UsageHour } from './usage.ts';
import type { Use } from './use.ts';

/** What tenants may use and have used. */
export interface Metering extends AsyncDisposable {
  meterOf(tenant: string): TenantMeter;
  /** Throws FirnError `not-found`. */
  setLimits(
    tenant: string,
    limits: Readonly<Record<string, number | null | undefined>>,
    actor: Actor,
  ): Promise<void>;
  /** What each tenant has used of this process since it started. */
  totals(): ReadonlyMap<string, Use>;
  readUsage(tenant: string, fromMs: number, toMs: number): Promise<readonly UsageHour[]>;
}

/** How often the sizes of tables are looked at, of tenants to which something came. */
const storedIntervalMs = 30_000;

export async function openMetering(options: {
  readonly store: TenantStore;
  readonly defaults: TenantLimits;
  /** Bytes of the files of a tenant's tables. */
  readonly storedBytesOf: (tenant: TenantId) => Promise<number>;
  readonly logger: Logger;
}): Promise<Metering> {
  const { store, defaults, storedBytesOf, logger } = options;
  const { context } = store;
  const { clock } = context;
  await using stack = new AsyncDisposableStack();
  const db = await openMeteringDatabase(context.db);
  const usage = stack.use(await openUsage({ db, clock, logger }));
  let own = await readLimits(db);
  const meters = new Map<string, TenantMeter>();
  const meterOf = (tenant: string): TenantMeter => {
    const limitsOf = (): TenantLimits => own.get(tenant) ?? defaults;
    const meter = meters.get(tenant) ?? createTenantMeter({ tenant, limitsOf, usage, clock });
    meters.set(tenant, meter);
    return meter;
  };
  const refresh = async (): Promise<void> => {
    own = await readLimits(db);
  };
  // When that fails, they are as last seen; the directory, which looks at the same database, says so.
  store.onLook(() => void refresh().catch(() => undefined));
  const ended = new AbortController();
  const looking = lookAtSizes(
    { clock, logger, ended: ended.signal, tenants: store.tenants },
    async (tenant) => meterOf(tenant).peak('stored_bytes', await storedBytesOf(tenant)),
  );
  stack.defer(async () => {
    ended.abort();
    await looking;
  });
  const open = stack.move();
  return {
    meterOf,
    setLimits: async (tenant, limits, actor) => {
      await changeLimits(context, tenant, limits, actor);
      await refresh();
    },
    totals: usage.totals,
    readUsage: usage.read,
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };

  async function readLimits(from: MeteringDatabase): Promise<ReadonlyMap<string, TenantLimits>> {
    const rows = await from.selectFrom('tenant_limits').selectAll().execute();
    return new Map(rows.map(({ tenant, limits }) => [tenant, { ...defaults, ...parsed(limits) }]));
  }
}

/** Without those that this version does not know. */
function parsed(text: string): Partial<TenantLimits> {
  const known = ownLimits.strip().parse(JSON.parse(text));
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== undefined));
}

async function changeLimits(
  { change }: ChangeContext,
  tenant: string,
  limits: Readonly<Record<string, number | null | undefined>>,
  actor: Actor,
): Promise<void> {
  await change(actor, { action: 'set limits', tenant, subject: tenant, detail: limits }, async (within) => {
    const tx = meteringTables(within);
    const found = await tx.selectFrom('tenant').select('id').where('id', '=', tenant).executeTakeFirst();
    if (!found) throw noTenant(tenant);
    const row = await tx
      .selectFrom('tenant_limits')
      .select('limits')
      .where('tenant', '=', tenant)
      .executeTakeFirst();
    const before: OwnLimits = row ? parsed(row.limits) : {};
    const given = Object.entries({ ...before, ...limits }).filter(([, value]) => value != null);
    const next = { tenant, limits: JSON.stringify(Object.fromEntries(given)) };
    await tx
      .insertInto('tenant_limits')
      .values(next)
      .onConflict((conflict) => conflict.column('tenant').doUpdateSet({ limits: next.limits }))
      .execute();
  });
}

async function lookAtSizes(
  options: {
    readonly clock: Clock;
    readonly logger: Logger;
    readonly ended: AbortSignal;
    readonly tenants: () => readonly TenantId[];
  },
  look: (tenant: TenantId) => Promise<void>,
): Promise<void> {
  const { clock, logger, ended, tenants } = options;
  while (!ended.aborted) {
    for (const tenant of tenants()) {
      if (ended.aborted) return;
      await look(tenant).catch((error: unknown) =>
        logger.warn('the size of tables is not known', { tenant, error: messageOf(error) }),
      );
    }
    await clock.sleep(storedIntervalMs, ended).catch(() => undefined);
  }
}
