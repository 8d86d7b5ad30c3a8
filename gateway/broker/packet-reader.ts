import type { Clock } from '../../lake/base/clock.ts';
import { type InternalClient, takeReading } from './aedes-internals.ts';
import { createRate } from './client-limits.ts';
import { findPacket } from './packet-place.ts';
import type { PublishLane } from './publish-lane.ts';

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
const subscribeType = 8;
/** A PUBLISH up to this length is waited for as a whole; aedes gets a longer one in the pieces that it comes in. */
const wholeBytesMax = 16 * 1024;

/**
 * Reads what a client sends and cuts it into packets: those for the publish lane, and all others, in their order, for
 * aedes. Reads no more while aedes works on what it has, while the lane is full, and while the client is too fast.
 */
export function readPackets(client: InternalClient, options: PacketReaderOptions): void {
  const { conn } = client;
  const { packetBytesMax, clock, onPacket } = options;
  const rate = createRate(clock, options.messagesPerSecondMax);
  const place = { body: 0, end: 0 };
  /** The start of a packet that is not all there, or what was held back. */
  let rest: Buffer | undefined;
  /** Bytes to come of a packet that aedes gets in pieces. */
  let remaining = 0;
  /** aedes has been given a SUBSCRIBE: what comes after it may be for the subscriber. */
  let subscribing = false;
  let held = false;
  /** The packet that was held back is in turn now. */
  let released = false;
  let ended = false;
  const update = (): void => {
    if (client.closed) return;
    const busy = client._parsingBatch > 0;
    if (!busy) subscribing = false;
    const wanted = !busy && !held && !lane.isFull;
    if (wanted === conn.isPaused()) conn[wanted ? 'resume' : 'pause']();
  };
  const lane = options.lane.of(client, update);
  takeReading(client, update);

  const giveToAedes = (bytes: Buffer, start: number, end: number): void => {
    if (start === end) return;
    lane.endRun();
    client._parser.parse(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  };
  /** Whether it is late enough for one more publish; otherwise all waits until it is. */
  const isInTurn = (): boolean => {
    const waitMs = released ? 0 : rate();
    released = false;
    if (waitMs === 0) return true;
    held = true;
    void clock.sleep(waitMs).then(() => {
      held = false;
      released = true;
      const bytes = rest ?? Buffer.alloc(0);
      rest = undefined;
      if (!client.closed) read(bytes);
    });
    return false;
  };
  const isForLane = (): boolean => client.connackSent && client._parser._queue === null && !subscribing;

  const read = (bytes: Buffer): void => {
    let at = Math.min(remaining, bytes.length);
    remaining -= at;
    let given = 0;
    while (at < bytes.length && !conn.destroyed) {
      const found = findPacket(bytes, at, place);
      if (found === 'unknown') break;
      const { body, end } = place;
      if (found === 'malformed') {
        at = bytes.length; // aedes says what is wrong
        break;
      }
      if (end - at > packetBytesMax) {
        ended = true;
        client.rejectPacketTooLarge(end - at);
        break;
      }
      const type = (bytes[at] ?? 0) >> 4;
      if (type === publishType) {
        if (end > bytes.length && end - at <= wholeBytesMax) break;
        if (!isInTurn()) break;
        giveToAedes(bytes, given, at);
        given = at;
        if (conn.destroyed) break;
        if (end <= bytes.length && isForLane() && lane.take(bytes, at, body, end)) given = end;
      } else if (type === subscribeType) subscribing = true;
      onPacket();
      remaining = Math.max(0, end - bytes.length);
      at = end - remaining;
    }
    giveToAedes(bytes, given, at);
    lane.endRun();
    if (at < bytes.length) rest = Buffer.from(bytes.subarray(at));
    update();
  };
  conn.on('data', (chunk: Buffer) => {
    if (client.closed || ended) return;
    const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk]);
    rest = undefined;
    if (held) rest = bytes;
    else read(bytes);
  });
}
