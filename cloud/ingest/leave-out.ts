import type { Signal } from '../../lake/model/batch.ts';
import { parseSegmentName } from '../../lake/model/keys.ts';
import type { ManifestSegment, ShipmentManifest } from '../../lake/model/manifest.ts';
import { type EarlierSegments, isCommitted } from './earlier-segments.ts';
import { comparePositions, endedEpochsMax, lastNumberOf, type Mark, noMark, type Position } from './marks.ts';

// Which segments of a shipment are in the lake already. Only those of an earlier epoch than their manifest can be: a
// gateway names each segment once in an epoch.

export type Seen = ReadonlyMap<Signal, Mark>;

/** The table of this signal has not come as far as this shipment. */
export const isNew = (seen: Seen, signal: Signal, position: Position): boolean =>
  comparePositions(position, seen.get(signal) ?? noMark) > 0;

const epochOf = ({ key }: ManifestSegment): number =>
  parseSegmentName(key.slice(key.lastIndexOf('/') + 1))?.epoch ?? 0;

/** The segments of an earlier epoch that would be committed. */
export const shippedAgain = (
  { segments, epoch }: ShipmentManifest,
  position: Position,
  seen: Seen,
): ManifestSegment[] =>
  segments.filter((segment) => isNew(seen, segment.signal, position) && epochOf(segment) < epoch);

/** The first epoch that any of them is of. */
export const firstEpochOf = (segments: readonly ManifestSegment[]): number =>
  segments.reduce((first, segment) => Math.min(first, epochOf(segment)), Number.POSITIVE_INFINITY);

export type LeftOut =
  | { readonly kind: 'kept'; readonly segments: readonly ManifestSegment[]; readonly leftOut: number }
  | { readonly kind: 'refused'; readonly reason: string };

/** A shipment without what earlier ones, that are committed, have brought in. */
export function withoutCommitted(
  { segments }: ShipmentManifest,
  again: readonly ManifestSegment[],
  seen: Seen,
  earlier: EarlierSegments | undefined,
): LeftOut {
  const repeats = new Set<string>();
  for (const segment of again) {
    const epoch = epochOf(segment);
    if ([...seen.values()].some((mark) => lastNumberOf(mark, epoch) === undefined))
      return {
        kind: 'refused',
        reason: `segment ${segment.key} is of an epoch that ended more than ${endedEpochsMax} epochs (endedEpochsMax) ago: whether it is in the lake is not known any more`,
      };
    switch (earlier?.find(segment)) {
      case 'repeat':
        repeats.add(segment.key);
        break;
      case 'other-bytes':
        return { kind: 'refused', reason: otherBytes(segment) };
    }
  }
  return { kind: 'kept', ...without(segments, repeats) };
}

/** What shipments of one haul name, in order: so that a later one of them does not bring in the same again. */
export interface HaulNames {
  withoutNamed(manifest: ShipmentManifest, position: Position): LeftOut;
  add(manifest: ShipmentManifest, position: Position): void;
}

export function haulNames(seen: Seen): HaulNames {
  const named = new Map<string, string>();
  return {
    withoutNamed: (manifest, position) => {
      const repeats = new Set<string>();
      for (const segment of shippedAgain(manifest, position, seen)) {
        const sha256 = named.get(segment.key);
        if (sha256 === segment.sha256) repeats.add(segment.key);
        else if (sha256 !== undefined) return { kind: 'refused', reason: otherBytes(segment) };
      }
      return { kind: 'kept', ...without(manifest.segments, repeats) };
    },
    add: ({ segments }, position) => {
      // One that arrived after its epoch had ended for a table brings nothing into that table.
      for (const { key, sha256, signal } of segments)
        if (isNew(seen, signal, position) || isCommitted(seen, signal, position)) named.set(key, sha256);
    },
  };
}

const otherBytes = ({ key }: ManifestSegment): string =>
  `segment ${key} is in the lake already, and has other bytes there`;

const without = (segments: readonly ManifestSegment[], repeats: ReadonlySet<string>) => ({
  segments: repeats.size === 0 ? segments : segments.filter(({ key }) => !repeats.has(key)),
  leftOut: repeats.size,
});
