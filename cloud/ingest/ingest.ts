import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { GatewayShipping } from '../../lake/completeness/completeness.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { plainReceipts, type ReceiptForm } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { CommitOptions } from '../catalog/commit.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { type HeadOf, openTables, type TableLimits } from '../catalog/table.ts';
import { commitShipments } from './commit-shipments.ts';
import {
  type IngestLimits,
  ingestLimits,
  openTenantIngest,
  type TableCommit,
  type TenantIngest,
} from './tenant-ingest.ts';
import type { VerifyLevel } from './verify.ts';

/**
 * Finds shipments of all tenants and commits them, for as long as it lives. Any number of these may run at once, and any
 * may be killed at any moment: the tables' marks decide what is still to do.
 */
export interface Ingest extends AsyncDisposable {
  /** Looks at every tenant now, again while limits leave something over; resolves when that is done. */
  pollNow(): Promise<void>;
  /** Called after each snapshot that added rows. Returns the function that unsubscribes. */
  onCommit(listener: (commit: TableCommit) => void): () => void;
  status(): IngestStatus;
  /** How far each gateway of a tenant has shipped; empty until the tenant was looked at. */
  shipping(tenant: TenantId): readonly GatewayShipping[];
}

/** Counted since the start, except for what says "now". */
interface IngestStatus {
  readonly rounds: number;
  readonly shipments: number;
  readonly commits: number;
  readonly files: number;
  readonly rows: number;
  readonly quarantined: number;
  readonly failures: number;
  /** Now: gateways with a hole in their numbers. */
  readonly gatewaysWaiting: number;
  /** Now: tenants whose last round failed, with the reason. */
  readonly failing: readonly { readonly tenant: TenantId; readonly reason: string }[];
  readonly lastCommitMs: number | undefined;
}

export interface IngestOptions {
  readonly store: ObjectStore;
  readonly locationOf: (key: string) => string;
  /** Asked each round, so that tenants may come and go. */
  readonly tenants: () => readonly TenantId[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** 1000 when absent. */
  readonly pollIntervalMs?: number;
  /** `sha256` when absent. */
  readonly verify?: VerifyLevel;
  readonly limits?: Partial<IngestLimits>;
  readonly tableLimits?: Partial<TableLimits>;
  readonly headOf?: HeadOf | undefined;
  /** Plain when absent. */
  readonly receipts?: ReceiptForm;
  readonly commitOptions?: CommitOptions;
}

const pollIntervalMsDefault = 1_000;
const tenantsConcurrentMax = 8;
/** After a failure a tenant is left alone for so long, doubling. */
const backoffMs = { first: 1_000, max: 30_000 };

interface TenantState {
  readonly tenant: TenantId;
  readonly ingest: TenantIngest;
  failuresInARow: number;
  retryAtMs: number;
  waiting: number;
  reason: string | undefined;
}

type Totals = {
  -readonly [K in Exclude<keyof IngestStatus, 'gatewaysWaiting' | 'failing'>]: IngestStatus[K];
};

export function startIngest(options: IngestOptions): Ingest {
  const { clock, pollIntervalMs = pollIntervalMsDefault } = options;
  const stop = new AbortController();
  const tenants = new Map<TenantId, TenantState>();
  const listeners = new Set<(commit: TableCommit) => void>();
  const totals: Totals = {
    rounds: 0,
    shipments: 0,
    commits: 0,
    files: 0,
    rows: 0,
    quarantined: 0,
    failures: 0,
    lastCommitMs: undefined,
  };
  let wake = new AbortController();
  /** Callers of pollNow that wait for a round that has not begun. */
  let callers: PromiseWithResolvers<void>[] = [];

  /** True when there is more to do at once. `all`: also tenants that are being left alone after a failure. */
  async function round(all: boolean): Promise<boolean> {
    const names = options.tenants();
    for (const tenant of tenants.keys()) if (!names.includes(tenant)) tenants.delete(tenant);
    for (const tenant of names) if (!tenants.has(tenant)) tenants.set(tenant, openTenant(options, tenant));
    const due = [...tenants.values()].filter(({ retryAtMs }) => all || retryAtMs <= clock.monotonicMs());
    const more = await mapConcurrent(due, tenantsConcurrentMax, (state) =>
      takeTurn(options, state, totals, listeners, stop.signal),
    );
    totals.rounds++;
    return more.includes(true);
  }

  async function run(): Promise<void> {
    while (!stop.signal.aborted) {
      const waiting = callers;
      callers = [];
      let more = true;
      while (more && !stop.signal.aborted) more = await round(waiting.length > 0);
      for (const { resolve } of waiting) resolve();
      if (callers.length > 0 || stop.signal.aborted) continue;
      wake = new AbortController();
      await clock.sleep(pollIntervalMs, AbortSignal.any([wake.signal, stop.signal])).catch(() => undefined);
    }
    for (const { resolve } of callers) resolve();
  }

  const running = run();
  return {
    pollNow: () => {
      if (stop.signal.aborted) return Promise.resolve();
      const caller = Promise.withResolvers<void>();
      callers.push(caller);
      wake.abort();
      return caller.promise;
    },
    onCommit: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    shipping: (tenant) => tenants.get(tenant)?.ingest.shipping() ?? [],
    status: () => statusOf(totals, [...tenants.values()]),
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
}

/** One round for one tenant; true when there is more to do at once. */
async function takeTurn(
  { clock, logger }: IngestOptions,
  state: TenantState,
  totals: Totals,
  listeners: ReadonlySet<(commit: TableCommit) => void>,
  stop: AbortSignal,
): Promise<boolean> {
  const { tenant } = state;
  try {
    const result = await state.ingest.round(stop);
    totals.shipments += result.shipments;
    totals.quarantined += result.quarantined;
    state.waiting = result.gatewaysWaiting;
    for (const commit of result.commits) {
      totals.commits++;
      totals.files += commit.files;
      totals.rows += commit.rows;
      totals.lastCommitMs = clock.nowMs();
      for (const listener of listeners) listener(commit);
    }
    if (result.failure !== undefined) throw result.failure;
    if (state.failuresInARow > 0) logger.info('ingest works again', { tenant });
    state.failuresInARow = 0;
    state.reason = undefined;
    return result.more;
  } catch (error) {
    if (stop.aborted) return false;
    totals.failures++;
    const pauseMs = Math.min(backoffMs.first * 2 ** state.failuresInARow, backoffMs.max);
    // Logged when it begins or changes; while it lasts, status() tells.
    if (state.reason !== messageOf(error))
      logger.error('ingest failed and will be tried again', { tenant, reason: messageOf(error) });
    state.reason = messageOf(error);
    state.failuresInARow++;
    state.retryAtMs = clock.monotonicMs() + pauseMs;
    return false;
  }
}

function statusOf(totals: Totals, tenants: readonly TenantState[]): IngestStatus {
  return {
    ...totals,
    gatewaysWaiting: tenants.reduce((sum, { waiting }) => sum + waiting, 0),
    failing: tenants.flatMap(({ tenant, reason }) => (reason === undefined ? [] : [{ tenant, reason }])),
  };
}

function openTenant(options: IngestOptions, tenant: TenantId): TenantState {
  const { store, locationOf, clock } = options;
  const ingest = openTenantIngest({
    tenant,
    tables: openTables({
      ...{ store, tenant, locationOf, clock, headOf: options.headOf, limits: options.tableLimits ?? {} },
    }),
    logger: options.logger.with({ tenant }),
    limits: { ...ingestLimits, ...options.limits },
    verify: options.verify ?? 'sha256',
    commitShipments,
    receipts: options.receipts ?? plainReceipts,
    ...(options.commitOptions ? { commitOptions: options.commitOptions } : {}),
  });
  return { tenant, ingest, failuresInARow: 0, retryAtMs: 0, waiting: 0, reason: undefined };
}
