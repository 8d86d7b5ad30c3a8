import type { TenantId } from '../../lake/model/ids.ts';
import { manifestKey, manifestPrefix } from '../../lake/model/keys.ts';
import type { ObjectInfo, ObjectStore } from '../../lake/object-store/object-store.ts';
import type { Position } from './marks.ts';

// What gateways have put into a tenant's inbox: found by listing after a position, so that an idle gateway costs one
// request however much it has shipped before.

export interface Arrival {
  readonly position: Position;
  readonly key: string;
  readonly sizeBytes: number;
}

export interface Arrivals {
  /** The shipments that can be taken now, in order. */
  readonly ready: readonly Arrival[];
  /** A number that must arrive before the rest can be taken. */
  readonly waitingFor: Position | undefined;
  /** Numbers that will never arrive, because their gateway has begun a new epoch since. */
  readonly skipped: number;
  /** There are more than `arrivalsMax`. */
  readonly more: boolean;
  /** Objects whose names are not those of manifests. */
  readonly strangers: readonly string[];
}

const strangersMax = 100;

/** Manifests of a gateway after a position, at most `arrivalsMax`. */
export async function listArrivals(
  store: ObjectStore,
  tenant: TenantId,
  gateway: string,
  after: Position,
  arrivalsMax: number,
): Promise<Arrivals> {
  const prefix = manifestPrefix(tenant, gateway);
  const found: Arrival[] = [];
  const strangers: string[] = [];
  let more = false;
  for await (const object of store.list(prefix, {
    after: manifestKey(tenant, gateway, after.epoch, after.number),
  })) {
    if (found.length === arrivalsMax || strangers.length === strangersMax) {
      more = found.length === arrivalsMax;
      break;
    }
    const arrival = parseArrival(object, prefix);
    if (arrival) found.push(arrival);
    else strangers.push(object.key);
  }
  const result = contiguous(found, after);
  if (result.waitingFor === undefined || !more) return { ...result, strangers, more };
  // The page ends before the newest epoch could show; whether there is one decides if the hole can still be filled.
  const nextEpoch = manifestKey(tenant, gateway, result.waitingFor.epoch + 1, 0);
  for await (const _ of store.list(prefix, { after: nextEpoch, limit: 1 }))
    return { ...contiguous(found, after, Number.POSITIVE_INFINITY), strangers, more };
  return { ...result, strangers, more: false };
}

export function parseArrival({ key, sizeBytes }: ObjectInfo, prefix: string): Arrival | undefined {
  const match = /^(\d{12})-(\d{16})\.json$/.exec(key.slice(prefix.length));
  const position = { epoch: Number(match?.[1] ?? 0), number: Number(match?.[2] ?? 0) };
  return position.epoch > 0 && position.number > 0 ? { position, key, sizeBytes } : undefined;
}

/**
 * The shipments up to the first hole. A hole in an epoch that is not the newest is passed over: its gateway has lost
 * the log that could have filled it, and waiting would hold up all that follows.
 */
function contiguous(
  found: readonly Arrival[],
  after: Position,
  newest: number = found.at(-1)?.position.epoch ?? after.epoch,
): Pick<Arrivals, 'ready' | 'waitingFor' | 'skipped'> {
  const ready: Arrival[] = [];
  let at = after;
  let skipped = 0;
  for (const arrival of found) {
    const { epoch, number } = arrival.position;
    const expected = epoch === at.epoch ? at.number + 1 : 1;
    if (number !== expected) {
      if (epoch === newest) return { ready, waitingFor: { epoch, number: expected }, skipped };
      skipped += number - expected;
    }
    ready.push(arrival);
    at = arrival.position;
  }
  return { ready, waitingFor: undefined, skipped };
}
