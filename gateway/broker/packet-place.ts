/** Where a packet's parts are; `end` is exclusive and may be beyond the bytes that are there. */
export interface PacketPlace {
  /** Behind the fixed header. */
  body: number;
  end: number;
}

/**
 * Finds the MQTT packet that begins at `at` by its fixed header: a byte, then the length of what follows as a varint of up
 * to 4 bytes [MQTT-2.2.3]. `unknown`: the header is not all there.
 */
export function findPacket(
  bytes: Uint8Array,
  at: number,
  place: PacketPlace,
): 'found' | 'unknown' | 'malformed' {
  let length = 0;
  let factor = 1;
  for (let size = 1; size <= 4; size++, factor *= 128) {
    const index = at + size;
    if (index >= bytes.length) return 'unknown';
    const byte = bytes[index] ?? 0;
    length += (byte & 0x7f) * factor;
    if (byte < 0x80) {
      place.body = index + 1;
      place.end = index + 1 + length;
      return 'found';
    }
  }
  return 'malformed';
}
