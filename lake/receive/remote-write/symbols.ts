import { FirnError } from '../../base/errors.ts';
import { invalidSeries } from './draft.ts';

/** The symbol table of one request of remote write 2.0: places in its bytes, no strings. */
export interface Symbols {
  /** Adds the symbol bytes[start, end); returns how many there are. */
  add(start: number, end: number): number;
  /** Throws FirnError `limit` when a request has more of them, written out, than it may have bytes. */
  bytesOf(ref: number): Uint8Array;
  /** Throws FirnError `invalid` when references are not pairs, or not of this table. */
  check(refs: readonly number[]): void;
  checkOne(ref: number, what: string): void;
  /** The label fields that 1.0 would have for these references. Good until the next call; throws as `bytesOf`. */
  labelBytes(refs: readonly number[]): Uint8Array;
  /** The reference of the value of the label __name__. */
  nameRef(refs: readonly number[]): number;
}

const nameBytes = Buffer.from('__name__');

export function createSymbols(bytes: Uint8Array, decodedBytesMax: number): Symbols {
  /** A few bytes can refer to a long symbol thousands of times. */
  let left = decodedBytesMax;
  let [size, places] = [0, new Int32Array(2048)];
  let key = new Uint8Array(1024);
  let nameSymbol = -1;

  const startOf = (ref: number): number => places[2 * ref] ?? 0;
  const lengthOf = (ref: number): number => (places[2 * ref + 1] ?? 0) - startOf(ref);
  const spend = (count: number): void => {
    left -= count;
    if (left < 0) throw tooLarge(decodedBytesMax);
  };
  const checkOne = (ref: number, what: string): void => {
    if (ref >= size && ref !== 0)
      throw invalidSeries(`its ${what} refers to symbol ${ref}, of which there are ${size}`);
  };
  const check = (refs: readonly number[]): void => {
    if (refs.length % 2 !== 0)
      throw invalidSeries(`it has ${refs.length} label references, which are no pairs`);
    for (const ref of refs) checkOne(ref, 'label');
  };
  /** Writes field `tag` with a symbol; returns where it ends. */
  const put = (at: number, tag: number, ref: number): number => {
    const start = startOf(ref);
    const length = lengthOf(ref);
    key[at] = tag;
    let to = putLength(key, at + 1, length);
    for (let from = start; from < start + length; from++) key[to++] = bytes[from] ?? 0;
    return to;
  };

  return {
    add: (start, end) => {
      if (2 * size === places.length) {
        const larger = new Int32Array(places.length * 2);
        larger.set(places);
        places = larger;
      }
      places[2 * size] = start;
      places[2 * size + 1] = end;
      if (nameSymbol < 0 && end - start === 8 && nameBytes.equals(bytes.subarray(start, end)))
        nameSymbol = size;
      return ++size;
    },
    bytesOf: (ref) => {
      spend(lengthOf(ref));
      return bytes.subarray(startOf(ref), startOf(ref) + lengthOf(ref));
    },
    check,
    checkOne,
    labelBytes: (refs) => {
      check(refs);
      let room = 0;
      for (const ref of refs) room += lengthOf(ref) + 16;
      spend(room);
      if (room > key.length) key = new Uint8Array(room * 2);
      let at = 0;
      for (let index = 0; index < refs.length; index += 2) {
        const [name = 0, value = 0] = [refs[index], refs[index + 1]];
        const inner = fieldBytes(lengthOf(name)) + fieldBytes(lengthOf(value));
        key[at] = 0x0a;
        at = putLength(key, at + 1, inner);
        at = put(at, 0x0a, name);
        at = put(at, 0x12, value);
      }
      return key.subarray(0, at);
    },
    nameRef: (refs) => {
      for (let index = 0; index < refs.length; index += 2)
        if (refs[index] === nameSymbol) return refs[index + 1] ?? 0;
      return 0;
    },
  };
}

const fieldBytes = (length: number): number => 1 + lengthBytes(length) + length;
const lengthBytes = (length: number): number =>
  length < 0x80 ? 1 : length < 0x4000 ? 2 : length < 0x20_0000 ? 3 : length < 0x1000_0000 ? 4 : 5;

function putLength(to: Uint8Array, at: number, length: number): number {
  let [rest, place] = [length, at];
  for (; rest >= 0x80; rest >>>= 7) to[place++] = (rest & 0x7f) | 0x80;
  to[place++] = rest;
  return place;
}

function tooLarge(limit: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'decode remote write',
    subject: 'decodedBytesMax',
    message: `the symbols of the request have more than ${limit} bytes where they are used`,
    hint: 'send smaller requests',
  });
}
