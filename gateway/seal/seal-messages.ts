import type { FirnError } from '../../lake/base/errors.ts';
import type { MergeRequest } from '../../lake/parquet/merge-request.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import type { SealIdentity, SealOutcome, SealRequest } from './seal-range.ts';

// What passes between sealer.ts and its worker thread. One request at a time; each has one reply.

export const segmentWriters = ['duckdb', 'parquetjs'] as const;

export interface SealWorkerOptions {
  readonly walPath: string;
  readonly dataDir: string;
  readonly identity: SealIdentity;
  readonly writer: (typeof segmentWriters)[number];
  readonly writerMemoryBytesMax: number;
  readonly writerRowsMax: number;
  /** For tests: see lake/base/fault-points.ts. */
  readonly crashAt: string;
}

export type SealWorkerRequest =
  | { readonly kind: 'seal'; readonly request: SealRequest }
  | { readonly kind: 'merge'; readonly request: MergeRequest }
  | { readonly kind: 'close' };

export type SealWorkerReply =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done'; readonly outcome: SealOutcome }
  | { readonly kind: 'merged'; readonly file: SegmentFile }
  | { readonly kind: 'closed' }
  | { readonly kind: 'failed'; readonly error: SealFailure };

/** A FirnError would lose its class on the way between threads. */
export type SealFailure = Pick<FirnError, 'code' | 'operation' | 'subject' | 'message' | 'hint'>;
