import type { Clock } from '../../lake/base/clock.ts';
import { type InternalClient, takeReading } from './aedes-internals.ts';
import { createRate } from './client-limits.ts';
import { findPacket, type PacketPlace } from './packet-place.ts';
import type { ClientLane, PublishLane } from './publish-lane.ts';

interface PacketReaderOptions {
  readonly lane: PublishLane;
  /** A larger packet ends the connection before it is all there. */
  readonly packetBytesMax: number;
  /** Publishes a second, beyond which no more is read. 0: no limit. */
  readonly messagesPerSecondMax: number;
  readonly clock: Clock;
  readonly onPacket: () => void;
}

const publishType = 3;
/** A PUBLISH up to this length is waited for as a whole; aedes gets a longer one in the pieces that it comes in. */
const wholeBytesMax = 16 * 1024;

interface Reader {
  readonly client: InternalClient;
  readonly lane: ClientLane;
  readonly options: PacketReaderOptions;
  /** How long one more publish has to wait. */
  readonly rate: () => number;
  readonly place: PacketPlace;
  /** The start of a packet that is not all there, or what was held back. */
  rest: Buffer | undefined;
  /** Bytes to come of a packet that aedes gets in pieces. */
  remaining: number;
  /** Until a publish is in turn. */
  held: boolean;
  /** The first publish has waited for its turn. */
  released: boolean;
  /** What else comes is not read. */
  ended: boolean;
}

/**
 * Reads what a client sends and cuts it into packets: those for the publish lane, and all others, in their order, for
 * aedes. Reads no more while aedes works on what it has, while the lane is full, and while the client is too fast.
 */
export function readPackets(client: InternalClient, options: PacketReaderOptions): void {
  const onChange = (): void => update(reader);
  const reader: Reader = {
    ...{ client, lane: options.lane.of(client, onChange), options },
    ...{ rate: createRate(options.clock, options.messagesPerSecondMax), place: { body: 0, end: 0 } },
    ...{ rest: undefined, remaining: 0, held: false, released: false, ended: false },
  };
  takeReading(client, onChange);
  client.conn.on('data', (chunk: Buffer) => {
    if (client.closed || reader.ended) return;
    const bytes = takeRest(reader, chunk);
    if (reader.held) reader.rest = bytes;
    else read(reader, bytes);
  });
}

function update(reader: Reader): void {
  const { client, lane } = reader;
  if (client.closed) return;
  const wanted = client._parsingBatch === 0 && !reader.held && !lane.isFull;
  if (wanted === client.conn.isPaused()) client.conn[wanted ? 'resume' : 'pause']();
}

/** All packets that are there. */
function read(reader: Reader, bytes: Buffer): void {
  const { client, lane, options, place } = reader;
  let at = Math.min(reader.remaining, bytes.length);
  reader.remaining -= at;
  /** aedes has what is before it, and the lane. */
  let given = 0;
  while (at < bytes.length && !client.conn.destroyed) {
    const found = findPacket(bytes, at, place);
    if (found === 'unknown') break;
    if (found === 'malformed') {
      at = bytes.length; // aedes says what is wrong
      break;
    }
    const { body, end } = place;
    if (end - at > options.packetBytesMax) {
      reader.ended = true;
      client.rejectPacketTooLarge(end - at);
      break;
    }
    if ((bytes[at] ?? 0) >> 4 === publishType) {
      if ((end > bytes.length && end - at <= wholeBytesMax) || !isInTurn(reader)) break;
      giveToAedes(reader, bytes, given, at);
      given = at;
      if (end <= bytes.length && isForLane(reader) && lane.take(bytes, at, body, end)) given = end;
    }
    options.onPacket();
    reader.remaining = Math.max(0, end - bytes.length);
    at = end - reader.remaining;
  }
  giveToAedes(reader, bytes, given, at);
  lane.endRun();
  if (at < bytes.length) reader.rest = Buffer.from(bytes.subarray(at));
  update(reader);
}

function giveToAedes({ client, lane }: Reader, bytes: Buffer, start: number, end: number): void {
  if (start === end) return;
  lane.endRun();
  client._parser.parse(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
}

/** While it connects, aedes queues what comes; and after a DISCONNECT there is nothing more to do. */
const isForLane = ({ client }: Reader): boolean =>
  client.connackSent && client._parser._queue === null && !client.conn.destroyed;

/** Whether it is late enough for one more publish; otherwise all is held back until it is. */
function isInTurn(reader: Reader): boolean {
  const waitMs = reader.released ? 0 : reader.rate();
  reader.released = false;
  if (waitMs === 0) return true;
  reader.held = true;
  void reader.options.clock.sleep(waitMs).then(() => {
    reader.held = false;
    reader.released = true;
    if (!reader.client.closed) read(reader, takeRest(reader, Buffer.alloc(0)));
  });
  return false;
}

function takeRest(reader: Reader, chunk: Buffer): Buffer {
  const { rest } = reader;
  reader.rest = undefined;
  return rest === undefined ? chunk : Buffer.concat([rest, chunk]);
}
