// What goes between the broker and the thread that owns broker.db.

/** One row of broker.db: a key and what is kept under it. */
export interface StoredRecord {
  readonly key: string;
  /** Bytes of a message; null where there are none. */
  readonly payload: Uint8Array | string | null;
  /** Everything else, as JSON. */
  readonly meta: string;
}

export type RecordRequest =
  /** One transaction, durable when it is answered. */
  | {
      readonly kind: 'commit';
      readonly puts: readonly StoredRecord[];
      readonly deletes: readonly string[];
    }
  /** The file is put aside when it is damaged, else emptied; then these records are all there is. */
  | { readonly kind: 'rebuild'; readonly puts: readonly StoredRecord[] }
  | { readonly kind: 'close' };

/** Answers come in the order of the requests. */
export type RecordReply =
  | { readonly ok: true }
  | { readonly ok: false; readonly error: string; readonly damaged: boolean };

export interface RecordWorkerOptions {
  readonly path: string;
  readonly damagedFolder: string;
}
