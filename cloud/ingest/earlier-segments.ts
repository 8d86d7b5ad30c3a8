import { hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Signal } from '../../lake/model/batch.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { manifestKey, manifestPrefix } from '../../lake/model/keys.ts';
import { type ManifestSegment, parseManifest } from '../../lake/model/manifest.ts';
import { seriesId as hash64 } from '../../lake/model/series-id.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import type { Shipment } from './commit-shipments.ts';
import { hashSet } from './hash-set.ts';
import { type Arrival, parseArrival } from './inbox.ts';
import { comparePositions, lastNumberOf, type Mark, noMark, type Position } from './marks.ts';
import { refusedPositions } from './quarantine.ts';

// A gateway that has lost its log begins a new epoch and ships again whatever it has no receipt for. Which of those
// segments are in the lake already? The manifests that named them are still in the inbox, and the marks say which of
// the manifests were committed: so this can be found out without a ledger of its own. It is rare, and read once.

type SegmentId = Pick<ManifestSegment, 'key' | 'sha256'>;

/** The segments that shipments of one gateway have brought into the lake since some epoch. */
export interface EarlierSegments {
  /** The first epoch whose manifests are known. */
  readonly fromEpoch: number;
  /** Reads on, up to `done`; false when `manifestsMax` were read and there are more. */
  readUpTo(done: Position, seen: ReadonlyMap<Signal, Mark>, manifestsMax: number): Promise<boolean>;
  /** Adds what was committed just now, up to `done`; `before` is what `done` was, `seen` are the marks of now. */
  took(
    before: Position,
    done: Position,
    shipments: readonly Shipment[],
    seen: ReadonlyMap<Signal, Mark>,
  ): void;
  /** `repeat`: it is in the lake. `other-bytes`: a segment of this name is, and it is a different one. */
  find(segment: SegmentId): 'new' | 'repeat' | 'other-bytes';
}

export interface EarlierSegmentsOptions {
  readonly store: ObjectStore;
  readonly tenant: TenantId;
  readonly gateway: string;
  readonly logger: Logger;
  readonly manifestsConcurrentMax: number;
}

export function earlierSegments(options: EarlierSegmentsOptions, fromEpoch: number): EarlierSegments {
  const { store, tenant, gateway } = options;
  const hashes = hashSet();
  let at: Position = { epoch: fromEpoch, number: 0 };
  const add = ({ key, sha256 }: SegmentId): void => {
    hashes.add(hash64(key));
    hashes.add(hash64(`${key} ${sha256}`));
  };

  async function readUpTo(
    done: Position,
    seen: ReadonlyMap<Signal, Mark>,
    manifestsMax: number,
  ): Promise<boolean> {
    if (comparePositions(at, done) >= 0) return true;
    const page = await pageOf(store, tenant, gateway, at, done, manifestsMax);
    const refused = await refusedPositions(store, tenant, gateway, at);
    const isRefused = new Set(refused.map(({ epoch, number }) => `${epoch}-${number}`));
    const manifests = page.filter(({ position: { epoch, number } }) => !isRefused.has(`${epoch}-${number}`));
    await mapConcurrent(manifests, options.manifestsConcurrentMax, async (arrival) => {
      for (const segment of await segmentsOf(options, arrival))
        if (isCommitted(seen, segment.signal, arrival.position)) add(segment);
    });
    const complete = page.length < manifestsMax;
    at = complete ? done : (page.at(-1)?.position ?? done);
    return complete;
  }

  return {
    fromEpoch,
    readUpTo,
    took: (before, done, shipments, seen) => {
      if (comparePositions(at, before) < 0) return;
      for (const { position, manifest } of shipments)
        for (const segment of manifest.segments)
          if (isCommitted(seen, segment.signal, position)) add(segment);
      at = done;
    },
    find: ({ key, sha256 }) => {
      if (!hashes.has(hash64(key))) return 'new';
      return hashes.has(hash64(`${key} ${sha256}`)) ? 'repeat' : 'other-bytes';
    },
  };
}

/** Whether the rows of a signal that a manifest names came into their table, if the manifest was not refused. */
export function isCommitted(
  seen: ReadonlyMap<Signal, Mark>,
  signal: Signal,
  { epoch, number }: Position,
): boolean {
  return number <= (lastNumberOf(seen.get(signal) ?? noMark, epoch) ?? 0);
}

async function pageOf(
  store: ObjectStore,
  tenant: TenantId,
  gateway: string,
  after: Position,
  done: Position,
  manifestsMax: number,
): Promise<Arrival[]> {
  const prefix = manifestPrefix(tenant, gateway);
  const page: Arrival[] = [];
  for await (const object of store.list(prefix, {
    after: manifestKey(tenant, gateway, after.epoch, after.number),
  })) {
    const arrival = parseArrival(object, prefix);
    if (arrival === undefined) continue;
    if (comparePositions(arrival.position, done) > 0 || page.length === manifestsMax) break;
    page.push(arrival);
  }
  return page;
}

async function segmentsOf(
  { store, gateway, logger }: EarlierSegmentsOptions,
  { key }: Arrival,
): Promise<readonly ManifestSegment[]> {
  try {
    const { body } = await store.get(key);
    return parseManifest(Buffer.from(body).toString(), key).segments;
  } catch (error) {
    // It was read when it was committed, and is not to be changed after. Waiting for it would hold up the gateway.
    if (!hasCode(error, 'invalid') && !hasCode(error, 'not-found')) throw error;
    logger.error('a committed manifest cannot be read any more; what it named may be stored twice', {
      gateway,
      manifest: key,
      reason: messageOf(error),
    });
    return [];
  }
}
