import { type Signal, signals } from '../../lake/model/batch.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import type { Shipment } from './commit-shipments.ts';
import { type Arrival, listArrivals } from './inbox.ts';
import { comparePositions, origin, type Position } from './marks.ts';
import { quarantine } from './quarantine.ts';
import type { TenantIngestOptions } from './tenant-ingest.ts';
import { type Inspection, inspectShipment } from './verify.ts';

/** What this process knows of one gateway. */
export interface GatewayProgress {
  /** Everything up to here is in every table that it belongs to, or refused. */
  done: Position;
  /** Per table: the newest mark seen. */
  readonly seen: Map<Signal, Position>;
  /** Per table: shipments looked at since its mark moved. */
  readonly lag: Map<Signal, number>;
  /** What was said already, so that it is logged and counted once. */
  readonly said: Set<string>;
}

export const newProgress = (): GatewayProgress => ({
  done: origin,
  seen: new Map(),
  lag: new Map(),
  said: new Set(),
});

/** One gateway's share of a round. */
export interface Haul {
  readonly gateway: string;
  readonly shipments: readonly Shipment[];
  /** Everything up to here was taken or refused. */
  readonly to: Position;
  readonly quarantined: number;
  readonly waiting: boolean;
  readonly more: boolean;
  /** What stopped it early; the rest has to be tried again. */
  readonly failure: unknown;
}

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
    const { shipmentsPerRoundMax, shipmentsConcurrentMax } = options.limits;
    const { store } = options.tables.metrics;
    const arrivals = await listArrivals(store, options.tenant, gateway, progress.done, shipmentsPerRoundMax);
    report(options, gateway, progress, arrivals);
    const waiting = arrivals.waitingFor !== undefined;
    if (arrivals.ready.length === 0) return { ...nothing, to: progress.done, waiting };
    await refresh();
    const ready = arrivals.ready.filter(({ position }) => comparePositions(position, progress.done) > 0);
    const outcomes = await mapConcurrent(ready, shipmentsConcurrentMax, (arrival) =>
      inspect(options, gateway, progress, arrival),
    );
    const taken = await takeUntilFailure(options, gateway, progress, outcomes);
    return { ...nothing, ...taken, waiting, more: arrivals.more && taken.failure === undefined };
  } catch (failure) {
    return { ...nothing, to: progress.done, failure };
  }
}

interface Outcome {
  readonly arrival: Arrival;
  readonly inspection: Inspection | { readonly kind: 'failed'; readonly error: unknown };
}

async function inspect(
  { tables, tenant, verify }: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  arrival: Arrival,
): Promise<Outcome> {
  const { store } = tables.metrics;
  const isNew = ({ signal }: { readonly signal: Signal }): boolean =>
    comparePositions(arrival.position, progress.seen.get(signal) ?? origin) > 0;
  try {
    const inspection = await inspectShipment({ store, tenant, level: verify, isNew }, gateway, arrival);
    return { arrival, inspection };
  } catch (error) {
    return { arrival, inspection: { kind: 'failed', error } };
  }
}

async function takeUntilFailure(
  options: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  outcomes: readonly Outcome[],
): Promise<Pick<Haul, 'shipments' | 'to' | 'quarantined' | 'failure'>> {
  const shipments: Shipment[] = [];
  let to = progress.done;
  let quarantined = 0;
  for (const { arrival, inspection } of outcomes) {
    switch (inspection.kind) {
      case 'failed':
        return { shipments, to, quarantined, failure: inspection.error };
      case 'accepted':
        shipments.push({ position: arrival.position, manifest: inspection.manifest });
        break;
      case 'refused': {
        const { reason } = inspection;
        await quarantine(options.tables.metrics.store, options.tenant, gateway, arrival, reason);
        if (sayOnce(progress, arrival.key)) {
          quarantined++;
          options.logger.warn('shipment refused and quarantined', { gateway, manifest: arrival.key, reason });
        }
      }
    }
    to = arrival.position;
  }
  return { shipments, to, quarantined, failure: undefined };
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

/** Remembers so much; a gateway that causes more to be said starts over. */
const saidMax = 1_000;

function sayOnce({ said }: GatewayProgress, what: string): boolean {
  if (said.has(what)) return false;
  if (said.size >= saidMax) said.clear();
  said.add(what);
  return true;
}

/** Counts a round's shipments towards each table's lag. */
export function addLag(progress: GatewayProgress, shipments: number): void {
  for (const table of signals) progress.lag.set(table, (progress.lag.get(table) ?? 0) + shipments);
}
