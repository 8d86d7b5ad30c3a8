import type { Signal } from './batch.ts';
import type { StreamClass } from './stream-class.ts';

/** `gap`: rows of the range are missing. `rollup`: they are there as one-minute rollups only. */
export const gapKinds = ['gap', 'rollup'] as const;
export type GapKind = (typeof gapKinds)[number];

/** A time range that is known to be incomplete, and why: a row of the table `gaps`. */
export interface Gap {
  readonly signal: Signal;
  readonly class: StreamClass;
  readonly kind: GapKind;
  readonly reason: string;
  /** Timestamps of the data, microseconds since the Unix epoch; both ends belong to the range. */
  readonly fromUs: number;
  readonly toUs: number;
  /** How many rows are missing; null when nobody knows. */
  readonly rows: number | null;
  readonly detail: string | null;
}
