import { signals } from '../../lake/model/batch.ts';
import type { ManifestSegment, ShipmentManifest } from '../../lake/model/manifest.ts';
import { refusedShipmentsMax } from '../../lake/model/receipt.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import type { Shipment } from './commit-shipments.ts';
import { earlierSegments } from './earlier-segments.ts';
import { type GatewayProgress, type LastShipment, sayOnce } from './gateway-progress.ts';
import { type Arrival, listArrivals } from './inbox.ts';
import { firstEpochOf, haulNames, isNew, shippedAgain, withoutCommitted } from './leave-out.ts';
import { comparePositions, type Position } from './marks.ts';
import { quarantine, readRecords, refusedPositions } from './quarantine.ts';
import type { TenantIngestOptions } from './tenant-ingest.ts';
import { readShipment, whyNotAsStated } from './verify.ts';

/** One gateway's share of a round. */
export interface Haul {
  readonly gateway: string;
  readonly shipments: readonly Shipment[];
  /** Everything up to here was taken or refused. */
  readonly to: Position;
  /** The last that was taken; without the time of its commit. */
  readonly last: Omit<LastShipment, 'committedUs'> | undefined;
  readonly quarantined: number;
  readonly waiting: boolean;
  readonly more: boolean;
  /** What stopped it early; the rest has to be tried again. */
  readonly failure: unknown;
}

/** Shipments in a row without segments of earlier epochs, after which it is forgotten which of those were committed. */
const earlierIdleMax = 1_000;

/** Inspects a gateway's arrivals in order, up to the first that cannot be read now. */
export async function haulGateway(
  options: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  /** Called when something arrived, before it is inspected: brings `progress` up to what other processes did. */
  refresh: () => Promise<void>,
): Promise<Haul> {
  const nothing = { gateway, shipments: [], quarantined: 0, waiting: false, more: false, failure: undefined };
  try {
    const { shipmentsPerRoundMax } = options.limits;
    const { store } = options.tables.metrics;
    const arrivals = await listArrivals(store, options.tenant, gateway, progress.done, shipmentsPerRoundMax);
    report(options, gateway, progress, arrivals);
    const waiting = arrivals.waitingFor !== undefined;
    if (arrivals.ready.length === 0) return { ...nothing, to: progress.done, last: undefined, waiting };
    await refresh();
    progress.refused ??= await readRefused(options, gateway);
    const ready = arrivals.ready.filter(({ position }) => comparePositions(position, progress.done) > 0);
    const { read, complete } = await readAll(options, gateway, progress, ready);
    const outcomes = await verifyAll(options, progress, read);
    const taken = await takeUntilFailure(options, gateway, progress, outcomes);
    const more = (arrivals.more || !complete) && taken.failure === undefined;
    return { ...nothing, ...taken, waiting, more };
  } catch (failure) {
    return { ...nothing, to: progress.done, last: undefined, failure };
  }
}

/** What was refused of a gateway before this process began, the newest. */
export async function readRefused(
  { tables, tenant }: TenantIngestOptions,
  gateway: string,
): Promise<NonNullable<GatewayProgress['refused']>> {
  const { store } = tables.metrics;
  const positions = await refusedPositions(store, tenant, gateway, { epoch: 0, number: 0 });
  const records = await readRecords(store, tenant, gateway, positions.slice(-refusedShipmentsMax));
  return records.map(({ epoch, number, manifest, reason }) => ({ epoch, number, key: manifest, reason }));
}

type Outcome = { readonly arrival: Arrival } & (
  | {
      readonly kind: 'accepted';
      readonly manifest: ShipmentManifest;
      readonly sha256: string;
      readonly again: boolean;
    }
  | { readonly kind: 'refused'; readonly reason: string }
  | { readonly kind: 'failed'; readonly error: unknown }
);

const inspectorOf = ({ tables, tenant, verify }: TenantIngestOptions) => ({
  store: tables.metrics.store,
  tenant,
  level: verify,
});

/** Does the work for each, with what it throws as an outcome: shipments before it can still be taken. */
function outcomesOf<T extends { readonly arrival: Arrival }>(
  options: TenantIngestOptions,
  items: readonly T[],
  work: (item: T) => Promise<Outcome>,
): Promise<Outcome[]> {
  return mapConcurrent(items, options.limits.shipmentsConcurrentMax, (item) =>
    work(item).catch((error): Outcome => ({ arrival: item.arrival, kind: 'failed', error })),
  );
}

/**
 * The shipments as their manifests state them, without the segments that are committed already. They end before the
 * first of which that is not known yet; then `complete` is false.
 */
async function readAll(
  options: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  ready: readonly Arrival[],
): Promise<{ readonly read: readonly Outcome[]; readonly complete: boolean }> {
  const refusedBefore = new Map(progress.refused?.map((each) => [each.key, each.reason]));
  const items = ready.map((arrival) => ({ arrival }));
  const read = await outcomesOf(options, items, async ({ arrival }) => {
    // A process that died before the marks moved has refused it: what it was then it stays.
    const reason = refusedBefore.get(arrival.key);
    if (reason !== undefined) return { arrival, kind: 'refused', reason };
    const reading = await readShipment(inspectorOf(options), gateway, arrival);
    if (reading.kind === 'refused') return { arrival, ...reading };
    const { manifest, sha256 } = reading;
    return { arrival, kind: 'accepted', manifest, sha256, again: false };
  });
  const again = read.map((outcome) =>
    outcome.kind === 'accepted'
      ? shippedAgain(outcome.manifest, outcome.arrival.position, progress.seen)
      : [],
  );
  const first = again.findIndex((segments) => segments.length > 0);
  forgetEarlier(progress, first < 0 ? read.length : 0);
  if (first < 0) return { read, complete: true };
  if (!(await knowEarlier(options, gateway, progress, firstEpochOf(again.flat()))))
    return { read: read.slice(0, first), complete: false };
  const kept = read.map((outcome, index) =>
    leaveOutCommitted(options, progress, outcome, again[index] ?? []),
  );
  return { read: kept, complete: true };
}

function forgetEarlier(progress: GatewayProgress, idle: number): void {
  progress.earlierIdle = idle === 0 ? 0 : progress.earlierIdle + idle;
  if (progress.earlierIdle > earlierIdleMax) progress.earlier = undefined;
}

/** Reads the manifests that were committed since an epoch; false when there are more than one round may read. */
async function knowEarlier(
  options: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  fromEpoch: number,
): Promise<boolean> {
  const { tenant, tables, logger, limits } = options;
  if (progress.earlier === undefined || progress.earlier.fromEpoch > fromEpoch) {
    const { store } = tables.metrics;
    const manifestsConcurrentMax = limits.shipmentsConcurrentMax;
    progress.earlier = earlierSegments({ store, tenant, gateway, logger, manifestsConcurrentMax }, fromEpoch);
    logger.info('a gateway ships segments of an earlier epoch again; looking which are committed', {
      gateway,
      fromEpoch,
    });
  }
  return progress.earlier.readUpTo(progress.done, progress.seen, limits.earlierManifestsPerRoundMax);
}

function leaveOutCommitted(
  options: TenantIngestOptions,
  progress: GatewayProgress,
  outcome: Outcome,
  again: readonly ManifestSegment[],
): Outcome {
  if (outcome.kind !== 'accepted' || again.length === 0) return outcome;
  const result = withoutCommitted(outcome.manifest, again, progress.seen, progress.earlier);
  if (result.kind === 'refused') return { arrival: outcome.arrival, ...result };
  sayLeftOut(options, outcome.manifest, result.leftOut);
  return { ...outcome, manifest: { ...outcome.manifest, segments: [...result.segments] }, again: true };
}

function verifyAll(
  options: TenantIngestOptions,
  progress: GatewayProgress,
  read: readonly Outcome[],
): Promise<Outcome[]> {
  return outcomesOf(options, read, async (outcome) => {
    if (outcome.kind !== 'accepted') return outcome;
    const { arrival, manifest } = outcome;
    const segments = manifest.segments.filter(({ signal }) => isNew(progress.seen, signal, arrival.position));
    const reason = await whyNotAsStated(inspectorOf(options), manifest.site, segments);
    return reason === undefined ? outcome : { arrival, kind: 'refused', reason };
  });
}

/** In order, because what an earlier shipment brings in is left out of later ones. */
async function takeUntilFailure(
  options: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  outcomes: readonly Outcome[],
): Promise<Pick<Haul, 'shipments' | 'to' | 'last' | 'quarantined' | 'failure'>> {
  const names = haulNames(progress.seen);
  const shipments: Shipment[] = [];
  let [to, quarantined]: [Position, number] = [progress.done, 0];
  let last: Haul['last'];
  for (const outcome of outcomes) {
    if (outcome.kind === 'failed') return { shipments, to, last, quarantined, failure: outcome.error };
    const { arrival } = outcome;
    const named =
      outcome.kind === 'accepted' ? names.withoutNamed(outcome.manifest, arrival.position) : outcome;
    if (outcome.kind === 'accepted' && named.kind === 'kept') {
      const { sha256 } = outcome;
      sayLeftOut(options, outcome.manifest, named.leftOut);
      names.add(outcome.manifest, arrival.position);
      const manifest = { ...outcome.manifest, segments: [...named.segments] };
      shipments.push({ position: arrival.position, manifest, repeats: outcome.again });
      last = { position: arrival.position, site: manifest.site, sha256, progress: manifest.progress };
    } else if (named.kind === 'refused') {
      if (await refuse(options, gateway, progress, arrival, named.reason)) quarantined++;
    }
    to = arrival.position;
  }
  return { shipments, to, last, quarantined, failure: undefined };
}

/** True when this process had not said so before. */
async function refuse(
  { tables, tenant, logger }: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  arrival: Arrival,
  reason: string,
): Promise<boolean> {
  const { store, clock } = tables.metrics;
  const refused = progress.refused ?? [];
  if (!refused.some(({ key }) => key === arrival.key)) {
    await quarantine(store, tenant, gateway, arrival, reason, Math.round(clock.nowMs() * 1000));
    refused.push({ ...arrival.position, key: arrival.key, reason });
    progress.refused = refused.slice(-refusedShipmentsMax);
  }
  if (!sayOnce(progress, arrival.key)) return false;
  logger.warn('shipment refused and quarantined', { gateway, manifest: arrival.key, reason });
  return true;
}

function sayLeftOut(
  { logger }: TenantIngestOptions,
  { gateway, epoch, number }: ShipmentManifest,
  segments: number,
): void {
  if (segments > 0)
    logger.info('segments that are in the lake already were left out', { gateway, epoch, number, segments });
}

function report(
  { logger }: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  { waitingFor, skipped, strangers }: Awaited<ReturnType<typeof listArrivals>>,
): void {
  if (waitingFor && sayOnce(progress, `hole ${waitingFor.epoch}-${waitingFor.number}`))
    logger.info('waiting for a shipment that later ones overtook', { gateway, ...waitingFor });
  if (skipped > 0 && sayOnce(progress, `skipped after ${progress.done.epoch}-${progress.done.number}`))
    logger.warn('shipments of an ended epoch will never arrive', { gateway, shipments: skipped });
  for (const key of strangers)
    if (sayOnce(progress, key))
      logger.warn('object in the inbox is not named like a manifest', { gateway, key });
}

/** Counts a round's shipments towards each table's lag. */
export function addLag(progress: GatewayProgress, shipments: number): void {
  for (const table of signals) progress.lag.set(table, (progress.lag.get(table) ?? 0) + shipments);
}
