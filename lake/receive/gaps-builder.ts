import type { GapsBatch } from '../model/batch.ts';
import type { Gap } from '../model/gap.ts';
import type { GatewayId } from '../model/ids.ts';

/** Gaps as rows of the table `gaps`, reported by `gateway`. */
export function gapsBatch(gaps: readonly Gap[], gateway: GatewayId): GapsBatch {
  return {
    signal: 'gaps',
    rows: gaps.length,
    fromUs: BigInt64Array.from(gaps, ({ fromUs }) => BigInt(Math.floor(fromUs))),
    toUs: BigInt64Array.from(gaps, ({ toUs }) => BigInt(Math.ceil(toUs))),
    ofSignal: gaps.map(({ signal }) => signal),
    ofClass: gaps.map((gap) => gap.class),
    kind: gaps.map(({ kind }) => kind),
    reason: gaps.map(({ reason }) => reason),
    rowsMissing: gaps.map(({ rows }) => (rows === null ? null : BigInt(rows))),
    detail: gaps.map(({ detail }) => detail),
    gateway: gaps.map(() => gateway),
    series: [],
  };
}
