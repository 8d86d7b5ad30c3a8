import type { Packet as WirePacket } from 'mqtt-packet';
import type { StoredRecord } from './record-messages.ts';

/** A packet as aedes hands it over: of mqtt-packet, with what aedes-packet adds. */
export interface KeptPacket {
  cmd?: WirePacket['cmd'];
  topic: string;
  payload: Buffer | string;
  qos: 0 | 1 | 2;
  retain: boolean;
  dup?: boolean;
  messageId?: number | undefined;
  brokerId?: string;
  brokerCounter?: number;
  clientId?: string;
  properties?: PacketProperties;
  /** MQTT 5: when it expires, milliseconds since the Unix epoch. */
  messageExpiry?: number;
}

interface PacketProperties {
  readonly correlationData?: Uint8Array;
  readonly willDelayInterval?: number;
  readonly messageExpiryInterval?: number;
}

/** A copy that keeps nothing else alive: a payload is often a part of a large chunk that was read from a socket. */
export function ownPacket(packet: KeptPacket): KeptPacket {
  return { ...packet, payload: ownPayload(packet.payload) };
}

function ownPayload(payload: Buffer | string): Buffer | string {
  if (typeof payload === 'string') return payload;
  const own = Buffer.allocUnsafeSlow(payload.length);
  payload.copy(own);
  return own;
}

/** About what a packet takes in memory. */
export const packetBytes = ({ topic, payload }: KeptPacket): number =>
  (topic?.length ?? 0) + (payload?.length ?? 0) + 256;

/** As it is kept in broker.db: `readPacket(writePacket(p))` equals `p`, but for fields that are undefined. */
export function writePacket(packet: KeptPacket): Omit<StoredRecord, 'key'> {
  const { payload, properties, ...rest } = packet;
  const { correlationData, ...others } = properties ?? {};
  const meta = {
    ...rest,
    ...(properties && { properties: others }),
    ...(correlationData && { correlationData: Buffer.from(correlationData).toString('base64') }),
  };
  return { payload: payload ?? null, meta: JSON.stringify(meta) };
}

/** Throws for what `writePacket` did not write. */
export function readPacket({ payload, meta }: Omit<StoredRecord, 'key'>): KeptPacket {
  const { correlationData, properties, ...rest } = JSON.parse(meta) as KeptPacket & {
    correlationData?: string;
  };
  return {
    ...rest,
    ...(payload === null ? {} : { payload: typeof payload === 'string' ? payload : bufferOf(payload) }),
    ...(properties && {
      properties: {
        ...properties,
        ...(correlationData !== undefined && { correlationData: Buffer.from(correlationData, 'base64') }),
      },
    }),
  } as KeptPacket;
}

const bufferOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
