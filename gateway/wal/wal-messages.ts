import type { MetricMetadata, SeriesEntry, Signal } from '../../lake/model/batch.ts';
import type { SealRecord, SegmentRecord } from './wal.ts';

// What passes between open-wal.ts and the worker thread that owns the database.

/** `workerData` of the worker. */
export interface WorkerOptions {
  readonly path: string;
  /** Epoch for a database that does not exist yet, unix seconds. */
  readonly newEpoch: number;
  readonly commitIntervalMs: number;
  readonly commitBytesMax: number;
  readonly commitRowsMax: number;
  /** 0: no limit. */
  readonly databaseBytesMax: number;
}

export interface AppendMessage {
  readonly kind: 'append';
  readonly signal: Signal;
  readonly rows: number;
  readonly receivedUs: number;
  readonly payload: Uint8Array;
  readonly series: readonly SeriesEntry[];
  readonly metadata: readonly MetricMetadata[];
}

export type AppendRequest = AppendMessage & { readonly id: number };

export type WalCommand =
  | { readonly kind: 'flush' }
  | { readonly kind: 'commitSeal'; readonly seal: SealRecord }
  | { readonly kind: 'markShipped'; readonly number: number; readonly shippedUs: number }
  | { readonly kind: 'replaceSegments'; readonly removed: readonly string[]; readonly added: SegmentRecord }
  | { readonly kind: 'removeSegments'; readonly paths: readonly string[] }
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
  | { readonly kind: 'opened'; readonly epoch: number; readonly lastSeq: number }
  | { readonly kind: 'refused'; readonly error: ErrorDetail }
  /** These requests are done: for appends, on disk. `lastSeq`: the newest batch in the log. */
  | { readonly kind: 'done'; readonly ids: readonly number[]; readonly lastSeq: number }
  | { readonly kind: 'failed'; readonly ids: readonly number[]; readonly error: ErrorDetail };
