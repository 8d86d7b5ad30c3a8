import type { Signal } from './batch.ts';
import type { StreamClass } from './stream-class.ts';

/** A range of time of which rows are known to be missing, or are there as rollups only. A row of the table `gaps`. */
export interface Gap {
  readonly signal: Signal;
  readonly class: StreamClass;
  readonly kind: 'gap' | 'rollup';
  readonly reason: string;
  readonly fromUs: number;
  readonly toUs: number;
  /** How many rows are missing; null where it is not known. */
  readonly rows: number | null;
  readonly detail: string | null;
}
