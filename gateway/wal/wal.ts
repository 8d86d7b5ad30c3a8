import type { DaySpent } from '../../lake/base/token-bucket.ts';
import type { Batch } from '../../lake/model/batch.ts';
import type { ClockQuality, ManifestSegment, ShipmentManifest } from '../../lake/model/manifest.ts';
import type { StreamClass } from '../../lake/model/stream-class.ts';
import type { RestoredPart } from './recovery/restored-part.ts';
import type { WalStart } from './wal-messages.ts';

/** The write-ahead log, as the rest of the gateway sees it. Everything that writes `wal.db` goes through here. */
export interface Wal extends AsyncDisposable {
  /** Changes when numbers of shipments begin again from 1. */
  readonly epoch: number;
  /** Path of wal.db, for read-only connections. */
  readonly path: string;
  /**
   * Resolves when the rows are on disk (group commit: waits at most the commit interval). Rejects with FirnError
   * `limit` when the queue in front of the writer is full, `unavailable` when the disk refuses. All or nothing, also of
   * several batches.
   */
  append(...batches: readonly Batch[]): Promise<void>;
  /** Waits until what was appended before is on disk, and returns the seq of the newest batch (0: none). */
  flush(): Promise<number>;
  /** Called after each commit, with the newest seq. Returns the function that unsubscribes. */
  onCommit(listener: (seq: number) => void): () => void;
  /**
   * Says what is known of the wall clock from now on. `offsetUs`, when it is known, is what has to be added to the times
   * that this boot has recorded while it was not trusted (0: they were right).
   */
  setClock(clock: ClockQuality, offsetUs: number | undefined): Promise<void>;

  // Commands below that take rows away carry what is to be said about it (`gaps`): both are in one transaction.

  /** The commit point of a seal; see schema.ts. Idempotent: what is recorded already is left as it is. */
  commitSeal(seal: SealRecord, gaps?: readonly Batch[]): Promise<void>;
  /** Replaces local files by others. Throws FirnError `conflict` when one has got a shipment meanwhile. */
  replaceSegments(
    removed: readonly string[],
    added: readonly SegmentRecord[],
    gaps?: readonly Batch[],
  ): Promise<void>;
  /** Forgets local files. */
  removeSegments(paths: readonly string[], gaps?: readonly Batch[]): Promise<void>;

  /** What an upload in parts needs to go on after a restart; null when it is done. */
  saveUpload(path: string, state: string | null): Promise<void>;
  markUploaded(paths: readonly string[]): Promise<void>;
  /**
   * Gives the next number to these segments, in one transaction with the manifest that will name them, and returns it.
   * Throws FirnError `conflict` when one has a shipment already or is gone.
   */
  compose(plan: ShipmentPlan): Promise<number>;
  /** Takes segments that can't be uploaded out of a composed shipment, whose manifest was never put, and forgets them. */
  amendShipment(number: number, without: readonly string[], gaps: readonly Batch[]): Promise<void>;
  /** `spent`: what the day's budget of the link has given. */
  markShipped(number: number, shippedUs: number, spent?: DaySpent): Promise<void>;
  /**
   * What the cloud has committed: up to this number of the current epoch. Of a newer epoch, another gateway has shipped
   * under this identity: an epoch after it begins. An older one is not for us any more.
   */
  applyReceipt(receipt: AppliedReceipt, gaps?: readonly Batch[]): Promise<void>;
  /** Numbers begin again from 1, and what has no receipt waits to be shipped again. */
  beginEpoch(epoch: number): Promise<void>;

  /** What was found when the log was opened; see recovery/start-log.ts. */
  readonly start: WalStart;
  /** Stores what recovery brings back; see recovery/run-recovery.ts. */
  restore(part: RestoredPart): Promise<void>;
  /** The log was found damaged in use: the next start moves it aside, saves what can be read, and begins a new one. */
  condemn(): Promise<void>;
}

/** A part of the tail that became files. */
export interface SealRecord {
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly segments: readonly SegmentRecord[];
}

/** Everything of a manifest that does not depend on its number; descriptions of metrics are added by the log. */
export interface ShipmentPlan {
  readonly identity: Pick<ShipmentManifest, 'tenant' | 'site' | 'gateway'>;
  readonly composedUs: number;
  readonly progress: ShipmentManifest['progress'];
  /** Paths of segments. */
  readonly paths: readonly string[];
}

export interface AppliedReceipt {
  readonly epoch: number;
  readonly number: number;
  /** Shipments up to `number` that the cloud did not take, and why. */
  readonly refused: readonly { readonly number: number; readonly reason: string }[];
}

/** A row of the `segment` table as it is written. */
export interface SegmentRecord {
  readonly path: string;
  readonly signal: Batch['signal'];
  readonly class: StreamClass;
  readonly day: string;
  readonly tier: number;
  readonly epoch: number;
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly rows: number;
  readonly bytes: number;
  readonly minTimestampUs: number;
  readonly maxTimestampUs: number;
  readonly minName: string | null;
  readonly maxName: string | null;
  readonly minReceivedUs: number;
  readonly maxReceivedUs: number;
  readonly sealedUs: number;
  readonly clock: ClockQuality;
  /** Null for a file that is never shipped: merged after its parts were. */
  readonly manifest: ManifestSegment | null;
  /** The cloud has its rows. */
  readonly committed: boolean;
}
