import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import { type SiteId, siteId, type TenantId, tenantId, virtualGatewayPrefix } from '../../lake/model/ids.ts';
import type { ReceiptForm } from '../../lake/model/receipt.ts';
import type { StoreSettings } from '../../lake/object-store/settings.ts';
import { createSeriesGuard, type SeriesGuard } from '../../lake/receive/series-guard.ts';
import type { OpenVirtualGateway, VirtualGateway } from '../../lake/virtual-gateway.ts';
import type { TenantMeter } from '../metering/meter.ts';

// One virtual gateway for each site of each tenant that sends to this cloud: opened when something comes, closed when
// nothing has come for a while and all of it is shipped. One that this process, or one before it, has left with something
// in it is opened at the start.

export interface VirtualGateways extends AsyncDisposable {
  /** Has one work for a tenant's site. Throws FirnError `limit` or `unavailable` when none can be had now. */
  use<T>(tenant: TenantId, site: SiteId, work: (gateway: VirtualGateway) => Promise<T>): Promise<T>;
  openCount(): number;
  /** Whether some rows of a tenant may be here and not shipped yet. */
  isWaiting(tenant: TenantId): boolean;
}

export interface VirtualGatewaysOptions {
  readonly open: OpenVirtualGateway;
  /** Folder of all of them. */
  readonly directory: string;
  readonly store: StoreSettings;
  readonly bodyBytesMax: number;
  readonly settings: {
    readonly openMax: number;
    readonly sitesPerTenantMax: number;
    readonly idleSeconds: number;
    readonly diskBytesMax: number;
  };
  readonly meterOf: (tenant: string) => TenantMeter;
  readonly receipts: ReceiptForm;
  readonly clock: Clock;
  readonly logger: Logger;
}

interface Kept {
  readonly tenant: TenantId;
  readonly opening: Promise<VirtualGateway>;
  gateway: VirtualGateway | undefined;
  users: number;
  usedMs: number;
  /** Settled when it is closed; undefined while it may be used. */
  closing: Promise<void> | undefined;
}

const lookIntervalMs = 5_000;
/** Says that a folder holds nothing that is not shipped. */
const emptyFile = 'empty';

export function openVirtualGateways(options: VirtualGatewaysOptions): VirtualGateways {
  const { directory, settings, meterOf, clock } = options;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const guards = new Map<TenantId, SeriesGuard>();
  const keeper = createKeeper(options, (tenant) => {
    const guard = guards.get(tenant) ?? tenantGuard(meterOf(tenant), clock);
    guards.set(tenant, guard);
    return guard;
  });
  const { kept, open, close, ready } = keeper;
  for (const tenant of foldersIn(directory))
    for (const site of foldersIn(join(directory, tenant)))
      if (!existsSync(join(directory, tenant, site, emptyFile))) open(tenantId(tenant), siteId(site));
  const ended = new AbortController();
  const looking = (async () => {
    while (!ended.signal.aborted) {
      await clock.sleep(lookIntervalMs, ended.signal).catch(() => undefined);
      for (const [tenant, guard] of guards) meterOf(tenant).peak('active_series', guard.counts().active);
      const idleSinceMs = clock.monotonicMs() - settings.idleSeconds * 1000;
      for (const [key, one] of kept) if (isIdle(one) && one.usedMs < idleSinceMs) void close(key);
    }
  })();
  return {
    use: async (tenant, site, work) => {
      let one = await ready(tenant, site);
      while (one.closing) one = await ready(tenant, site);
      one.users++;
      try {
        return await work(await one.opening.catch(notOpened));
      } finally {
        one.users--;
        one.usedMs = clock.monotonicMs();
      }
    },
    openCount: () => kept.size,
    isWaiting: (tenant) =>
      [...kept.values()].some((one) => one.tenant === tenant && (one.gateway?.isWaiting() ?? true)),
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await looking;
      await Promise.all([...kept.keys()].map((key) => close(key)));
    },
  };
}

const isIdle = ({ users, gateway }: Kept): boolean =>
  users === 0 && gateway !== undefined && !gateway.isWaiting();

/** Those that are open, by tenant and site. */
function createKeeper(options: VirtualGatewaysOptions, guardOf: (tenant: TenantId) => SeriesGuard) {
  const { directory, clock } = options;
  const { openMax, sitesPerTenantMax } = options.settings;
  const instance = instanceOf(directory);
  const kept = new Map<string, Kept>();

  const open = (tenant: TenantId, site: SiteId): Kept => {
    const key = `${tenant}/${site}`;
    const onDamage = (): void => void close(key, true).then(() => open(tenant, site));
    const opening = openOne(options, { tenant, site, instance, guard: guardOf(tenant), onDamage });
    const one: Kept = {
      ...{ tenant, opening, gateway: undefined, users: 0, usedMs: clock.monotonicMs(), closing: undefined },
    };
    kept.set(key, one);
    opening.then(
      (gateway) => {
        one.gateway = gateway;
      },
      () => kept.delete(key), // Logged by openOne; the next who comes tries again.
    );
    return one;
  };
  const close = (key: string, isDamaged = false): Promise<void> => {
    const one = kept.get(key);
    if (!one) return Promise.resolve();
    one.closing ??= (async () => {
      const gateway = await one.opening.catch(() => undefined);
      const isEmpty = !isDamaged && ((await gateway?.empty()) ?? false);
      await gateway?.[Symbol.asyncDispose]();
      if (isEmpty) writeFileSync(join(directory, key, emptyFile), '');
      kept.delete(key);
    })();
    return one.closing;
  };
  const usable = (key: string): Kept | undefined => {
    const one = kept.get(key);
    return one?.closing ? undefined : one;
  };
  const makeRoom = async (): Promise<void> => {
    if (kept.size < openMax) return;
    const [idlest] = [...kept].filter(([, one]) => isIdle(one)).sort(([, a], [, b]) => a.usedMs - b.usedMs);
    if (idlest === undefined) throw full('direct.openMax', openMax, 'it will be less soon', 5_000);
    await close(idlest[0]);
  };
  const ready = async (tenant: TenantId, site: SiteId): Promise<Kept> => {
    const key = `${tenant}/${site}`;
    await kept.get(key)?.closing;
    const known = usable(key);
    if (known) return known;
    if (!existsSync(join(directory, key)) && foldersIn(join(directory, tenant)).length >= sitesPerTenantMax)
      throw full('direct.sitesPerTenantMax', sitesPerTenantMax, 'send for fewer sites', 60_000);
    await makeRoom();
    return usable(key) ?? open(tenant, site);
  };
  return { kept, open, close, ready };
}

async function openOne(
  { open, directory, store, bodyBytesMax, settings, meterOf, receipts, logger }: VirtualGatewaysOptions,
  one: {
    readonly tenant: TenantId;
    readonly site: SiteId;
    readonly instance: string;
    readonly guard: SeriesGuard;
    readonly onDamage: () => void;
  },
): Promise<VirtualGateway> {
  const { tenant, site, instance, guard, onDamage } = one;
  const dataDir = join(directory, tenant, site);
  const meter = meterOf(tenant);
  const gateway = idOf(instance, site);
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    rmSync(join(dataDir, emptyFile), { force: true });
    return await open({
      ...{ tenant, site, gateway, dataDir, store, bodyBytesMax, guard, onDamage },
      openReceipt: async (text, key) => receipts.parse(text, key, { tenant, gateway }),
      diskBytesMax: settings.diskBytesMax,
      admit: meter.admit,
      onStored: meter.received,
      logger: logger.with({ tenant, site }),
    });
  } catch (error) {
    logger.error('could not open a virtual gateway', { tenant, site, error: messageOf(error) });
    throw error;
  }
}

/** What the tenant's limit says now. New series a minute are not limited: the rate of rows is. */
function tenantGuard(meter: TenantMeter, clock: Clock): SeriesGuard {
  return createSeriesGuard(
    {
      newSeriesPerMinuteMax: 0,
      get activeSeriesMax() {
        return meter.limits.activeSeriesMax;
      },
    },
    clock.monotonicMs,
  );
}

function foldersIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name);
}

/** Tells this cloud's virtual gateways from those of other clouds over the same store. */
function instanceOf(directory: string): string {
  const path = join(directory, 'instance');
  if (!existsSync(path)) writeFileSync(path, `${randomBytes(16).toString('hex')}\n`, { mode: 0o600 });
  return readFileSync(path, 'utf8').trim();
}

const idOf = (instance: string, site: string): string =>
  `${virtualGatewayPrefix}${createHash('sha256').update(`${instance}/${site}`).digest('hex').slice(0, 16)}`;

function notOpened(cause: unknown): never {
  throw new FirnError({
    ...{ code: 'unavailable', operation: 'receive', subject: 'virtual gateway', retryAfterMs: 10_000, cause },
    message: 'this cloud can not receive now; its log says why',
  });
}

const full = (subject: string, max: number, hint: string, retryAfterMs: number): FirnError =>
  new FirnError({
    ...{ code: 'unavailable', operation: 'receive', subject, hint, retryAfterMs },
    message: `this cloud receives for as many sites as it may (${subject} = ${max}); ${hint}`,
  });
