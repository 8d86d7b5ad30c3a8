import { createByteTable } from '../../base/byte-table.ts';
import { createRoot, type Member } from './familiar-payload.ts';

/** A topic, found by the bytes of its name. */
export interface KnownTopic {
  readonly name: string;
  /** The names that its payloads had. */
  readonly root: Member;
}

export interface KnownTopicsLimits {
  readonly topicsMax: number;
  readonly nameBytesMax: number;
}

/** All are forgotten when one of the limits is met, or when `isFull` says so; then it is begun anew. */
export function createKnownTopics({ topicsMax, nameBytesMax }: KnownTopicsLimits, isFull: () => boolean) {
  let table = createByteTable();
  let topics: KnownTopic[] = [];
  const forget = (): void => {
    table = createByteTable();
    topics = [];
  };
  const add = (bytes: Uint8Array, start: number, end: number): KnownTopic => {
    if (topics.length >= topicsMax || table.keyBytes + end - start > nameBytesMax) forget();
    const name = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('utf8');
    const topic = { name, root: createRoot() };
    topics[table.insert(bytes, start, end)] = topic;
    return topic;
  };
  return (bytes: Uint8Array, start: number, end: number): KnownTopic => {
    if (isFull()) forget();
    return topics[table.find(bytes, start, end)] ?? add(bytes, start, end);
  };
}
