import type { Batch } from '../../lake/model/batch.ts';
import type { ShipmentManifest1 } from '../../lake/model/manifest.ts';

/** The write-ahead log, as the rest of the gateway sees it. Everything that writes `wal.db` goes through here. */
export interface Wal extends AsyncDisposable {
  readonly epoch: number;
  /** Path of wal.db, for read-only connections. */
  readonly path: string;
  /**
   * Resolves when the rows are on disk (group commit: waits at most the commit interval). Rejects with FirnError
   * `limit` when the queue in front of the writer is full, `unavailable` when the disk refuses. All or nothing.
   */
  append(batch: Batch): Promise<void>;
  /** Waits until what was appended before is on disk, and returns the seq of the newest batch (0: none). */
  flush(): Promise<number>;
  /** Called after each commit, with the newest seq. Returns the function that unsubscribes. */
  onCommit(listener: (seq: number) => void): () => void;

  /** The commit point of a seal; see schema.ts. Idempotent: a shipment that is recorded already is left as it is. */
  commitSeal(seal: SealRecord): Promise<void>;
  markShipped(number: number, shippedUs: number): Promise<void>;
  /** Replaces local files by one that holds the same rows. */
  replaceSegments(removed: readonly string[], added: SegmentRecord): Promise<void>;
  /** Forgets local files (after their retention; only shipped ones). */
  removeSegments(paths: readonly string[]): Promise<void>;
}

export interface SealRecord {
  readonly manifest: ShipmentManifest1;
  readonly segments: readonly SegmentRecord[];
  /** (name, version) of the descriptions that the manifest carries. */
  readonly metadataVersions: readonly (readonly [name: string, version: number])[];
}

/** A row of the `segment` table. */
export interface SegmentRecord {
  readonly path: string;
  readonly signal: Batch['signal'];
  readonly day: string;
  readonly shipment: number | null;
  readonly tier: number;
  readonly rows: number;
  readonly bytes: number;
  readonly minTimestampUs: number;
  readonly maxTimestampUs: number;
  readonly minName: string | null;
  readonly maxName: string | null;
}
