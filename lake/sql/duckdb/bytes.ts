/** The same memory, seen both ways. */
export interface Bytes {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

/** Never a Buffer: loops over arrays of one kind are compiled for that kind. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: Uint8Array): Bytes => ({
  bytes: new Uint8Array(buffer, byteOffset, byteLength),
  view: new DataView(buffer, byteOffset, byteLength),
});

/** From here on `set`, a call into the runtime, is quicker than a loop. */
const loopBytesMax = 128;

/** Copies from `from` in the source to `to` in the target: made for the few bytes of a value. Eight at a time make no BigInt once this is compiled. */
export function copyBytes(source: Bytes, from: number, target: Bytes, to: number, length: number): void {
  if (length > loopBytesMax) {
    target.bytes.set(source.bytes.subarray(from, from + length), to);
    return;
  }
  let done = 0;
  for (; done + 8 <= length; done += 8)
    target.view.setBigUint64(to + done, source.view.getBigUint64(from + done, true), true);
  for (; done < length; done++) target.bytes[to + done] = source.bytes[from + done] as number;
}

export function equalBytes(a: Bytes, atA: number, b: Bytes, atB: number, length: number): boolean {
  let done = 0;
  for (; done + 4 <= length; done += 4)
    if (a.view.getInt32(atA + done, true) !== b.view.getInt32(atB + done, true)) return false;
  for (; done < length; done++) if (a.bytes[atA + done] !== b.bytes[atB + done]) return false;
  return true;
}
