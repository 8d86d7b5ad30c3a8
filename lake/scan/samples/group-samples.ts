import { type Codes, readPackedTimes, readWideCells } from '../../parquet/column-cells.ts';
import { type ColumnChunk, unsupported, withFile } from '../../parquet/columns-file.ts';
import { bitsOf } from '../../promql/source.ts';
import type { GroupIndex } from './file-index.ts';

/** The samples of a row group. */
export interface GroupSamples {
  /** Of each row, milliseconds after `baseMs`; runs with the same times share them. */
  readonly times: Int32Array;
  /** Where the times of each run begin. */
  readonly timesOf: Uint32Array;
  readonly baseMs: number;
  /** Values, of which `codes` says which one each row has; without codes one a row. */
  readonly values: Float64Array;
  readonly codes: Codes | undefined;
  /** There are NaNs among the values, which must be copied by their bits. */
  readonly hasNaN: boolean;
  readonly bytes: number;
}

const int32Max = 2 ** 31 - 1;

/** Reads timestamps and values. Throws FirnError as readFileIndex does. */
export function readGroupSamples(path: string, group: GroupIndex): GroupSamples {
  return withFile(path, (fd) => {
    const chunk = (name: string): ColumnChunk => {
      const found = group.chunks.get(name);
      if (found === undefined) throw unsupported(path, `it has no column ${name}`);
      return found;
    };
    if (!(group.lastMs - group.firstMs < int32Max)) throw unsupported(path, 'its times are far apart');
    const timesUs = readPackedTimes(fd, path, chunk('timestamp')) ?? plainTimes(fd, path, chunk('timestamp'));
    const { times, timesOf } = shareTimes(timesUs, group);
    const { entries, codes } = readWideCells(fd, path, chunk('value'));
    const values = new Float64Array(entries.buffer);
    const bytes = times.byteLength + timesOf.byteLength + values.byteLength + (codes?.byteLength ?? 0);
    const hasNaN = values.includes(Number.NaN);
    return { times, timesOf, baseMs: group.firstMs, values, codes, hasNaN, bytes };
  });
}

function plainTimes(fd: number, path: string, chunk: ColumnChunk): Float64Array {
  const { entries, codes } = readWideCells(fd, path, chunk);
  const numbers = Float64Array.from(entries, Number);
  return codes ? Float64Array.from(codes, (code) => numbers[code] ?? 0) : numbers;
}

/** Series of one source have the same times: they are kept once. */
function shareTimes(
  timesUs: Float64Array,
  { starts, firstMs }: GroupIndex,
): { readonly times: Int32Array; readonly timesOf: Uint32Array } {
  const times = new Int32Array(timesUs.length);
  const timesOf = new Uint32Array(starts.length - 1);
  /** Where times begin, by their number and the first and the last of them; those that agree in that come later. */
  const known = new Map<number, number[]>();
  let end = 0;
  for (let run = 0; run < timesOf.length; run++) {
    const from = starts[run] ?? 0;
    const length = (starts[run + 1] ?? 0) - from;
    for (let at = 0; at < length; at++)
      times[end + at] = Math.floor((timesUs[from + at] ?? 0) / 1000) - firstMs;
    const key = hashOf(length, times[end] ?? 0, times[end + length - 1] ?? 0);
    const alike = known.get(key);
    const same = alike?.find((start) => start + length <= end && isRepeated(times, start, end, length));
    timesOf[run] = same ?? end;
    if (same !== undefined) continue;
    if (alike === undefined) known.set(key, [end]);
    else if (alike.length < alikeMax) alike.push(end);
    end += length;
  }
  return { times: end * 2 < times.length ? times.slice(0, end) : times, timesOf };
}

/** Times that agree in number, first and last, and are compared with. */
const alikeMax = 4;

const hashOf = (length: number, first: number, last: number): number =>
  (Math.imul(Math.imul(length, 31) + first, 0x9e3779b1) + last) | 0;

function isRepeated(times: Int32Array, start: number, end: number, length: number): boolean {
  for (let at = 0; at < length; at++) if (times[start + at] !== times[end + at]) return false;
  return true;
}

/** Values of the rows [start, end), bit for bit. */
export function copyValues(
  { values, codes, hasNaN }: GroupSamples,
  start: number,
  end: number,
  into: Float64Array,
  at: number,
): void {
  if (codes === undefined) into.set(values.subarray(start, end), at);
  else if (hasNaN) copyBits(bitsOf(values), codes, start, end, bitsOf(into), at);
  // One loop for each kind of codes: it is quicker where it only sees one.
  else if (codes instanceof Uint16Array) copyNumbers16(values, codes, start, end, into, at);
  else copyNumbers32(values, codes, start, end, into, at);
}

function copyNumbers16(
  values: Float64Array,
  codes: Uint16Array,
  start: number,
  end: number,
  into: Float64Array,
  at: number,
): void {
  for (let row = start, to = at; row < end; row++, to++) into[to] = values[codes[row] ?? 0] ?? 0;
}

function copyNumbers32(
  values: Float64Array,
  codes: Uint32Array,
  start: number,
  end: number,
  into: Float64Array,
  at: number,
): void {
  for (let row = start, to = at; row < end; row++, to++) into[to] = values[codes[row] ?? 0] ?? 0;
}

function copyBits(
  values: Uint32Array,
  codes: Codes,
  start: number,
  end: number,
  into: Uint32Array,
  at: number,
): void {
  for (let row = start, to = 2 * at; row < end; row++, to += 2) {
    const code = 2 * (codes[row] ?? 0);
    into[to] = values[code] ?? 0;
    into[to + 1] = values[code + 1] ?? 0;
  }
}
