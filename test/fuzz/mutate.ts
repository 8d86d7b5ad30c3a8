/** Random numbers by seed (mulberry32): whole numbers below `below`. */
export type Random = (below: number) => number;

export function randomOf(seed: number): Random {
  let state = seed | 0;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** What breaks parsers: ends of ranges, long varints, and what has a meaning in text. */
const interesting: readonly Uint8Array[] = [
  ...[
    [0],
    [0x7f],
    [0x80],
    [0xff],
    [0xff, 0xff, 0xff, 0xff, 0x0f],
    Array(9).fill(0xff).concat(1),
    Array(11).fill(0x80),
  ],
  ...[
    [0x7f, 0xf0, 0, 0, 0, 0, 0, 2],
    [0, 0, 0, 0, 0, 0, 0xf8, 0x7f],
    [0xed, 0xa0, 0x80],
    [0xf4, 0x90, 0x80, 0x80],
  ],
].map((bytes) => Uint8Array.from(bytes));
const words = [
  ...['"', '\\', '{', '}', '[', ']', ',', ':', '=', '\n', '\r', ' ', '#', '\\u0000', '\\ud800', '__proto__'],
  ...[
    '1e999',
    '-1e999',
    'NaN',
    'null',
    'true',
    '-0',
    '9223372036854775808',
    '18446744073709551616',
    '99999999999999999999',
  ],
].map((text) => Buffer.from(text));

/** One of the payloads with one to four changes: bytes, ranges that go, come twice or from another, cuts. */
export function mutated(random: Random, payloads: readonly Uint8Array[]): Uint8Array {
  let bytes = pick(random, payloads);
  for (let changes = 1 + random(4); changes > 0; changes--) bytes = changed(random, bytes, payloads);
  return bytes;
}

function changed(random: Random, bytes: Uint8Array, payloads: readonly Uint8Array[]): Uint8Array {
  const at = random(bytes.length + 1);
  const length = random(Math.min(64, bytes.length - at) + 1);
  const put = (part: Uint8Array, gone: number): Uint8Array =>
    Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at + gone)]);
  switch (random(8)) {
    case 0:
    case 1:
      return put(Uint8Array.of(random(256)), 1);
    case 2:
      return put(Uint8Array.of((bytes[at] ?? 0) ^ (1 << random(8))), 1);
    case 3:
      return put(pick(random, interesting), random(2) * length);
    case 4:
      return put(pick(random, words), random(2) * length);
    case 5:
      return put(new Uint8Array(), length);
    case 6:
      return put(bytes.subarray(at, at + length), 0);
    default: {
      if (random(3) === 0) return bytes.subarray(0, at);
      const other = pick(random, payloads);
      const from = random(other.length + 1);
      return put(other.subarray(from, from + random(200)), length);
    }
  }
}

const pick = <T>(random: Random, values: readonly T[]): T => values[random(values.length)] as T;
