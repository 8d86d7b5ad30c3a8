import type { DaySpent } from '../../lake/base/token-bucket.ts';
import type { MetricMetadata, SeriesEntry, Signal } from '../../lake/model/batch.ts';
import type { ClockQuality } from '../../lake/model/manifest.ts';
import type { RestoredPart } from './recovery/restored-part.ts';
import type { StartedLog } from './recovery/start-log.ts';
import type { AppliedReceipt, SealRecord, SegmentRecord, ShipmentPlan } from './wal.ts';

// What passes between open-wal.ts and the worker thread that owns the database.

/** `workerData` of the worker. */
export interface WorkerOptions {
  readonly path: string;
  /** Epoch for a database that does not exist yet, unix seconds. */
  readonly newEpoch: number;
  /** The wall clock at the start, microseconds. */
  readonly nowUs: number;
  /** This boot of the machine, and what is known of its clock at the start. */
  readonly boot: { readonly bootId: string; readonly clock: ClockQuality };
  /** Selectors of streams that are alarms. */
  readonly alarmSelectors: readonly string[];
  readonly commitIntervalMs: number;
  readonly commitBytesMax: number;
  readonly commitRowsMax: number;
  /** 0: no limit. */
  readonly databaseBytesMax: number;
  /** For tests: see lake/base/fault-points.ts. */
  readonly crashAt: string;
}

export interface AppendMessage {
  readonly kind: 'append';
  readonly signal: Signal;
  readonly rows: number;
  readonly receivedUs: number;
  readonly monoUs: number;
  /** Of rows of gaps: since when something is missing. */
  readonly sinceUs?: number;
  /** In a buffer of its own, which is given back. */
  readonly payload: Uint8Array<ArrayBuffer>;
  readonly series: readonly SeriesEntry[];
  readonly metadata: readonly MetricMetadata[];
}

export type AppendRequest = AppendMessage & {
  readonly id: number;
  /** What is stored with it or not at all. */
  readonly also?: readonly AppendMessage[];
};

type Gaps = readonly AppendMessage[];

export type WalCommand =
  | { readonly kind: 'flush' }
  | { readonly kind: 'setClock'; readonly clock: ClockQuality; readonly offsetUs: number | undefined }
  | { readonly kind: 'commitSeal'; readonly seal: SealRecord; readonly gaps: Gaps }
  | {
      readonly kind: 'replaceSegments';
      readonly removed: readonly string[];
      readonly added: readonly SegmentRecord[];
      readonly gaps: Gaps;
    }
  | { readonly kind: 'removeSegments'; readonly paths: readonly string[]; readonly gaps: Gaps }
  | { readonly kind: 'saveUpload'; readonly path: string; readonly state: string | null }
  | { readonly kind: 'markUploaded'; readonly paths: readonly string[] }
  | { readonly kind: 'compose'; readonly plan: ShipmentPlan }
  | {
      readonly kind: 'amendShipment';
      readonly number: number;
      readonly without: readonly string[];
      readonly gaps: Gaps;
    }
  | {
      readonly kind: 'markShipped';
      readonly number: number;
      readonly shippedUs: number;
      readonly spent: DaySpent | undefined;
    }
  | { readonly kind: 'applyReceipt'; readonly receipt: AppliedReceipt; readonly gaps: Gaps }
  | { readonly kind: 'beginEpoch'; readonly epoch: number }
  | { readonly kind: 'restore'; readonly part: Omit<RestoredPart, 'gaps'>; readonly gaps: Gaps }
  | { readonly kind: 'condemn' }
  | { readonly kind: 'close' };

export type WalRequest = AppendRequest | (WalCommand & { readonly id: number });

/** The fields of a FirnError, which would lose its class on the way between threads. */
export interface ErrorDetail {
  readonly code: 'unavailable' | 'corrupt' | 'conflict' | 'unsupported';
  readonly operation: string;
  readonly subject: string;
  readonly message: string;
  readonly hint?: string;
}

export type WalReply =
  | { readonly kind: 'opened'; readonly state: WalState; readonly start: WalStart }
  | { readonly kind: 'refused'; readonly error: ErrorDetail }
  /** These requests are done: for appends, on disk. `value`: what a command returns. */
  | {
      readonly kind: 'done';
      readonly ids: readonly number[];
      readonly state: WalState;
      readonly value?: number;
      /** Of the appends, to be used again. */
      readonly spare?: readonly ArrayBuffer[];
    }
  | { readonly kind: 'failed'; readonly ids: readonly number[]; readonly error: ErrorDetail };

/** What was found when the log was opened. */
export type WalStart = Pick<StartedLog, 'kind' | 'reasons'>;

/** `lastSeq`: the newest batch in the log (0: none yet). */
export interface WalState {
  readonly epoch: number;
  readonly lastSeq: number;
}
