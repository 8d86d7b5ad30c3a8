import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { Batch, Signal } from '../../lake/model/batch.ts';
import { whyNotStorable } from '../../lake/parquet/storable.ts';
import { decodeBatch } from './batch-codec.ts';
import type { WalReader } from './reader.ts';

export interface IntactBatch {
  readonly seq: number;
  /** Of its payload. */
  readonly bytes: number;
  /** Wall clock at receipt, as it was. */
  readonly receivedUs: number;
  readonly batch: Batch;
}

/** A batch that can't become rows. */
export interface SkippedBatch {
  readonly seq: number;
  /** Undefined: not known. */
  readonly signal: Signal | undefined;
  /** Rows that are lost; 0 where it is not known. */
  readonly rows: number;
  /** When it was received: between these, as far as that is known. */
  readonly fromUs: number;
  readonly toUs: number;
  readonly reason: string;
}

/**
 * Decoded batches with afterSeq < seq <= uptoSeq. One that is damaged is skipped: it would fail for ever, and hold up
 * all after it. The sealer and the tables read the WAL through this, so that both see the same rows.
 */
export function* intactBatches(
  reader: WalReader,
  signal: Signal,
  afterSeq: number,
  uptoSeq: number,
  skip: (batch: SkippedBatch) => void,
): Generator<IntactBatch, void, undefined> {
  for (let after = afterSeq; ; ) {
    try {
      for (const { seq, rows, receivedUs, payload } of reader.tail(signal, after, uptoSeq)) {
        after = seq;
        const batch = decodeOrReason(signal, payload);
        if (typeof batch === 'string')
          skip({ seq, signal, rows, fromUs: receivedUs, toUs: receivedUs, reason: batch });
        else yield { seq, bytes: payload.byteLength, receivedUs, batch };
      }
      return;
    } catch (error) {
      if (!hasCode(error, 'corrupt') || error.operation !== 'read WAL') throw error;
      after = Number(error.subject);
      skip({ seq: after, signal, rows: 0, ...reader.receivedAround(after), reason: error.message });
    }
  }
}

function decodeOrReason(signal: Signal, payload: Uint8Array): Batch | string {
  try {
    const batch = decodeBatch(signal, payload);
    return whyNotStorable(batch) ?? batch;
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    return error.message;
  }
}
