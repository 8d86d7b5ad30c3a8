import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { GatewayShipping } from '../../lake/completeness/completeness.ts';
import { type Signal, signals } from '../../lake/model/batch.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { inboxPrefix } from '../../lake/model/keys.ts';
import type { ReceiptForm } from '../../lake/model/receipt.ts';
import type { CommitOptions } from '../catalog/commit.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { describedMetricsMax, mergeMetricMetadata } from '../catalog/metric-metadata.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { CommitShipments, ShipmentBatch } from './commit-shipments.ts';
import { addLag, type Haul, haulGateway } from './gateway-haul.ts';
import { type GatewayProgress, newProgress } from './gateway-progress.ts';
import { comparePositions, earlierOf, laterOf, type Marks, marksOf, noMark, origin } from './marks.ts';
import { putReceipts } from './receipts.ts';
import type { VerifyLevel } from './verify.ts';

/** Brings one tenant's shipments into its tables. Keeps only what it can find out again from the tables' marks. */
export interface TenantIngest {
  /**
   * Looks at every gateway once and commits what can be: at most one snapshot a table, whatever the number of shipments.
   * Throws what the store throws; what was committed until then stays, and the next round goes on from there.
   */
  round(signal?: AbortSignal): Promise<RoundResult>;
  /** How far each gateway has shipped, as this process knows it. */
  shipping(): readonly GatewayShipping[];
}

interface RoundResult {
  readonly commits: readonly TableCommit[];
  readonly shipments: number;
  readonly quarantined: number;
  /** Gateways with a hole that has to be filled first. */
  readonly gatewaysWaiting: number;
  /** Limits were met: another round would find more at once. */
  readonly more: boolean;
  /** Why some gateway's shipments could not be read; the others' are committed. */
  readonly failure: unknown;
}

export interface TableCommit {
  readonly tenant: TenantId;
  readonly table: Signal;
  /** Metadata version and Iceberg snapshot that hold the rows. */
  readonly version: number;
  readonly files: number;
  readonly rows: number;
  /** Of the files. */
  readonly bytes: number;
}

export interface IngestLimits {
  /** Shipments of one gateway taken in one round. */
  readonly shipmentsPerRoundMax: number;
  /** Gateways of one tenant that are looked at concurrently, and shipments of each that are read concurrently. */
  readonly gatewaysConcurrentMax: number;
  readonly shipmentsConcurrentMax: number;
  /** Shipments without rows for a table that its mark may lag behind before it is moved alone. */
  readonly marksLagMax: number;
  /** Manifests read in one round to find out which segments of earlier epochs are committed. */
  readonly earlierManifestsPerRoundMax: number;
  /** A gateway's receipt is written at most so often. */
  readonly receiptIntervalMsMin: number;
}

export const ingestLimits: IngestLimits = {
  shipmentsPerRoundMax: 200,
  gatewaysConcurrentMax: 8,
  shipmentsConcurrentMax: 4,
  marksLagMax: 500,
  earlierManifestsPerRoundMax: 1_000,
  receiptIntervalMsMin: 2_000,
};

export interface TenantIngestOptions {
  readonly tenant: TenantId;
  readonly tables: Readonly<Record<Signal, IcebergTable>>;
  readonly logger: Logger;
  readonly limits: IngestLimits;
  readonly verify: VerifyLevel;
  readonly commitShipments: CommitShipments;
  readonly receipts: ReceiptForm;
  readonly commitOptions?: CommitOptions;
}

/**
 * A round commits to these after all others, so what both of them have is everywhere: the others' marks, which may not
 * move for months, are not waited for.
 */
const lastTables: readonly Signal[] = ['metrics', 'logs'];
const commitOrder = [...signals.filter((table) => !lastTables.includes(table)), ...lastTables];

type Gateways = ReadonlyMap<string, GatewayProgress>;

export function openTenantIngest(options: TenantIngestOptions): TenantIngest {
  const { tenant, tables, limits } = options;
  const { store } = tables.metrics;
  /** Undefined until the tables' marks were read. */
  let known: Map<string, GatewayProgress> | undefined;

  async function round(signal?: AbortSignal): Promise<RoundResult> {
    const names: string[] = [];
    for await (const name of store.listFolders(inboxPrefix(tenant))) names.push(name);
    const gateways = known ?? new Map<string, GatewayProgress>();
    const isNew = names.some((name) => !gateways.has(name));
    for (const name of names) if (!gateways.has(name)) gateways.set(name, newProgress());
    if (isNew) await readMarks(options, gateways);
    known = gateways;
    let refreshed: Promise<void> | undefined;
    const refresh = (): Promise<void> => {
      refreshed ??= readMarks(options, gateways);
      return refreshed;
    };
    const hauls = await mapConcurrent([...gateways], limits.gatewaysConcurrentMax, ([name, progress]) =>
      haulGateway(options, name, progress, refresh),
    );
    signal?.throwIfAborted();
    const commits = await commitHauls(options, gateways, hauls, signal);
    await putReceipts(options, gateways, signal);
    const failure = hauls.find((haul) => haul.failure !== undefined)?.failure;
    if (hasCode(failure, 'conflict')) known = undefined;
    const count = (of: (haul: Haul) => number): number => hauls.reduce((sum, each) => sum + of(each), 0);
    return {
      commits,
      shipments: count(({ shipments }) => shipments.length),
      quarantined: count(({ quarantined }) => quarantined),
      gatewaysWaiting: count(({ waiting }) => Number(waiting)),
      more: hauls.some(({ more }) => more),
      failure,
    };
  }

  return {
    shipping: () => [...(known ?? [])].flatMap(([gateway, progress]) => shippingOf(gateway, progress)),
    round: async (signal) => {
      try {
        return await round(signal);
      } catch (error) {
        // Marks that went backwards, or a lost race: begin again from the tables.
        if (hasCode(error, 'conflict')) known = undefined;
        throw error;
      }
    },
  };
}

function shippingOf(gateway: string, { last, receipt }: GatewayProgress): GatewayShipping[] {
  const { site, progress, committedUs } = last ?? receipt?.receipt ?? {};
  if (site === undefined || progress === undefined || committedUs === undefined) return [];
  return [{ gateway, site, progress, lastHeardUs: committedUs }];
}

/**
 * Most tenants have no gaps, and no table of them. Whether another process made one is looked up so often; a commit to
 * it that comes in between is refused by the store, and tried again from what is there.
 */
const absentTableMaxAgeMs = 60_000;

/** Brings every gateway's progress up to the tables' newest marks. Throws FirnError `conflict` when one went backwards. */
async function readMarks({ tables }: TenantIngestOptions, gateways: Gateways): Promise<void> {
  const marks = await Promise.all(
    signals.map(async (table) => {
      const state = await tables[table].load(0, absentTableMaxAgeMs);
      return [table, await marksOf(tables[table], state)] as const;
    }),
  );
  for (const [gateway, progress] of gateways) {
    // Another process has been here: it may have taken shipments that came too late for this one.
    for (const [table, ofTable] of marks)
      if (see(progress, table, ofTable, gateway)) progress.earlier = undefined;
    const everywhere = lastTables.map((table) => progress.seen.get(table) ?? origin).reduce(earlierOf);
    progress.done = laterOf(progress.done, everywhere);
  }
}

/** True when the mark has moved. */
function see(progress: GatewayProgress, table: Signal, marks: Marks, gateway: string): boolean {
  const mark = marks.get(gateway) ?? noMark;
  const before = progress.seen.get(table) ?? noMark;
  if (comparePositions(mark, before) < 0)
    throw new FirnError({
      code: 'conflict',
      operation: 'read high-water marks',
      subject: table,
      message: `table ${table} was rolled back: the mark of gateway ${gateway} is behind what it was`,
    });
  const moved = comparePositions(mark, before) > 0;
  if (moved) progress.lag.set(table, 0);
  progress.seen.set(table, mark);
  return moved;
}

async function commitHauls(
  options: TenantIngestOptions,
  gateways: Gateways,
  hauls: readonly Haul[],
  signal: AbortSignal | undefined,
): Promise<TableCommit[]> {
  const moved = hauls.filter(
    ({ gateway, to }) => comparePositions(to, gateways.get(gateway)?.done ?? origin) > 0,
  );
  if (moved.length === 0) return [];
  for (const { gateway, shipments } of moved) {
    const progress = gateways.get(gateway);
    if (progress) addLag(progress, shipments.length);
  }
  await describeMetrics(options, hauls);
  const commits: TableCommit[] = [];
  for (const table of commitOrder) {
    const committed = await commitTable(options, gateways, hauls, table, signal);
    if (committed) commits.push(committed);
  }
  const committedUs = Math.round(options.tables.metrics.clock.nowMs() * 1000);
  for (const { gateway, to, last, shipments } of moved) {
    const progress = gateways.get(gateway);
    if (progress === undefined) continue;
    progress.earlier?.took(progress.done, to, shipments, progress.seen);
    progress.done = laterOf(progress.done, to);
    if (last !== undefined) progress.last = { ...last, committedUs };
  }
  return commits;
}

async function commitTable(
  options: TenantIngestOptions,
  gateways: Gateways,
  hauls: readonly Haul[],
  table: Signal,
  signal: AbortSignal | undefined,
): Promise<TableCommit | undefined> {
  const shipments = hauls
    .flatMap((haul) => haul.shipments)
    .filter(({ manifest }) => manifest.segments.some((segment) => segment.signal === table));
  const lagging =
    lastTables.includes(table) &&
    [...gateways.values()].some(({ lag }) => (lag.get(table) ?? 0) >= options.limits.marksLagMax);
  if (shipments.length === 0 && !lagging) return undefined;
  const reached = new Map(hauls.map(({ gateway, to }) => [gateway, to]));
  const progress: ShipmentBatch['progress'] = new Map(
    [...gateways].map(([gateway, { seen, done }]) => [
      gateway,
      { seen: seen.get(table) ?? origin, to: laterOf(reached.get(gateway) ?? done, done) },
    ]),
  );
  const { state, before, files, rows, bytes } = await options.commitShipments(
    options.tables[table],
    { progress, shipments, marksOnly: lagging },
    { ...options.commitOptions, ...(signal ? { signal } : {}) },
  );
  const marks = await marksOf(options.tables[table], state);
  for (const [gateway, each] of gateways) {
    // As in readMarks.
    const seen = each.seen.get(table) ?? noMark;
    if (comparePositions(before.get(gateway) ?? noMark, seen) !== 0) each.earlier = undefined;
    see(each, table, marks, gateway);
  }
  const { tenant } = options;
  return files === 0 ? undefined : { tenant, table, version: state.version, files, rows, bytes };
}

async function describeMetrics(
  { tables, tenant, logger }: TenantIngestOptions,
  hauls: readonly Haul[],
): Promise<void> {
  const news = hauls.flatMap(({ shipments }) => shipments).flatMap(({ manifest }) => manifest.metadata);
  if (news.length === 0) return;
  const { leftOut } = await mergeMetricMetadata(tables.metrics.store, tables.metrics.clock, tenant, news);
  if (leftOut > 0) logger.warn('too many metrics are described', { tenant, leftOut, describedMetricsMax });
}
