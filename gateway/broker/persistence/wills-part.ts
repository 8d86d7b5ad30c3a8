import { Readable } from 'node:stream';
import { type KeptPacket, readPacket, writePacket } from './packet-record.ts';
import { type RecordPart, type RecordSink, recordKey } from './record-key.ts';

interface ClientId {
  readonly id: string;
}

/** aedes' methods for wills. After a power cut aedes publishes those whose clients do not come back. */
export function willsPart(sink: RecordSink, brokerId: () => string) {
  const wills = new Map<string, KeptPacket>();
  const keyOf = (clientId: string): string => recordKey('will', clientId);
  const methods = {
    putWill: async ({ id }: ClientId, will: KeptPacket): Promise<void> => {
      // aedes publishes this very object, and looks for these two in it.
      will.brokerId = brokerId();
      will.clientId = id;
      wills.set(id, will);
      sink.set(keyOf(id), writePacket(will));
      await sink.durable();
    },
    getWill: async ({ id }: ClientId): Promise<KeptPacket | undefined> => wills.get(id),
    delWill: async ({ id }: ClientId): Promise<KeptPacket | undefined> => {
      const will = wills.get(id);
      if (wills.delete(id)) sink.set(keyOf(id), undefined);
      return will;
    },
    /** Those of clients that were connected to a broker that is not there any more. */
    streamWill: (brokers: Readonly<Record<string, unknown>> = {}): Readable =>
      Readable.from([...wills.values()].filter((will) => brokers[will.brokerId ?? ''] === undefined)),
  };
  const part: RecordPart = {
    load: ([, clientId = ''], record) => void wills.set(clientId, readPacket(record)),
    records: function* () {
      for (const [clientId, will] of wills) yield { key: keyOf(clientId), ...writePacket(will) };
    },
  };
  return { methods, part, has: (clientId: string) => wills.has(clientId) };
}
