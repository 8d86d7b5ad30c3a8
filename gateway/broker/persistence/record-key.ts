import type { StoredRecord } from './record-messages.ts';

export type RecordKind = 'retained' | 'subscription' | 'queued' | 'incoming' | 'will' | 'session';

/** Keys are JSON arrays: a kind, then ids. */
export const recordKey = (kind: RecordKind, ...ids: readonly string[]): string =>
  JSON.stringify([kind, ...ids]);

/** Throws for a key that `recordKey` did not make. */
export function readKey(key: string): readonly string[] {
  const parts: unknown = JSON.parse(key);
  if (!Array.isArray(parts) || !parts.every((part) => typeof part === 'string'))
    throw new Error(`${key} is no key of a record`);
  return parts;
}

/** Where changes are noted; see RecordStore. */
export interface RecordSink {
  set(key: string, record: Omit<StoredRecord, 'key'> | undefined): void;
  durable(): Promise<void>;
}

/** One kind of records: their state in memory. */
export interface RecordPart {
  /** Takes over what an earlier run left. Throws for a record that makes no sense. */
  load(ids: readonly string[], record: StoredRecord): void;
  /** Everything, as it should be on the disk. */
  records(): Iterable<StoredRecord>;
}
