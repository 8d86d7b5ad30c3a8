/**
 * Watches the MQTT fixed headers in a byte stream (type, then the remaining length as a varint of up to 4 bytes) and
 * says whether all packets so far are at most `packetBytesMax` long. The parser behind it would collect up to 256 MB
 * before it looks at a packet. `onPacket` is called for each fixed header.
 */
export function createPacketGuard(
  packetBytesMax: number,
  onPacket: () => void = () => undefined,
): (chunk: Uint8Array) => boolean {
  /** Bytes of the packet's body that are still to come. */
  let remaining = 0;
  /** Bytes of the fixed header seen: 0, or 1 and more when inside of the length. */
  let header = 0;
  let length = 0;
  return (chunk) => {
    let at = 0;
    while (at < chunk.length) {
      if (remaining > 0) {
        const step = Math.min(remaining, chunk.length - at);
        remaining -= step;
        at += step;
        continue;
      }
      const byte = chunk[at++] ?? 0;
      if (header++ === 0) {
        length = 0;
        continue;
      }
      length += (byte & 0x7f) * 128 ** (header - 2);
      if (length > packetBytesMax) return false;
      if (byte < 0x80) {
        remaining = length;
        header = 0;
        onPacket();
      } else if (header > 4) return false;
    }
    return true;
  };
}
