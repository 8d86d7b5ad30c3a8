import { type BodyLimits, bodyLimits } from '../body-limits.ts';

/** What one remote-write request may hold. Meeting one refuses the whole request and stores nothing of it. */
export interface RemoteWriteLimits extends BodyLimits {
  readonly seriesPerRequestMax: number;
  /** Samples, histograms and exemplars: an empty one has two bytes on the wire, but takes a row. */
  readonly rowsPerRequestMax: number;
  readonly metadataPerRequestMax: number;
  /** Of 2.0's table. */
  readonly symbolsPerRequestMax: number;
}

export const remoteWriteLimits: RemoteWriteLimits = {
  ...bodyLimits,
  seriesPerRequestMax: 200_000,
  rowsPerRequestMax: 2_000_000,
  metadataPerRequestMax: 100_000,
  symbolsPerRequestMax: 1_000_000,
};
