import { byteFinder, type Find } from '../../base/byte-finder.ts';
import type { LineFilter } from '../../logql/ast.ts';
import { lineTest } from '../../logql/pipeline/line-filter.ts';
import { isPushable } from '../../logql/plan.ts';
import { mayHold } from '../../parquet/trigrams.ts';
import { compileRe2 } from '../../regexp/re2.ts';
import { requiredLiterals } from '../../regexp/required-literals.ts';
import { type Entries, entryText, noEntry, type TextPage } from './text-page.ts';

// Line filters over the bytes of pages. A text is searched for in the whole page at once, as grep does in a file; of a
// regular expression the texts that each of its matches must have are, and only lines that have them are tested.

export interface LineSearch {
  /**
   * Rows of [from, to) whose lines pass, of a page of lines; rows are those of the row group. `texts`: which texts the page
   * may have.
   */
  rows(page: TextPage, from: number, to: number, texts: number): Uint32Array;
  /** Which texts a page with such trigrams may have, as bits; 0 where no line of it passes. */
  textsOf(trigrams: Buffer): number;
  /** Every line passes. */
  readonly passesAll: boolean;
}

/** One filter. */
interface Marker {
  /** Sets those of `marks` whose entries match; entries are counted from `from`. */
  mark(entries: Entries, from: number, to: number, marks: Uint8Array, texts: number): void;
  readonly negated: boolean;
  readonly test: (line: string) => boolean;
  /** Of what it looks for. */
  textsOf(trigrams: Buffer): number;
}

/** A page that may have all texts, or of which nothing is known. */
export const allTexts = -1;
/** The bit that each page has of which a line may pass, and that stands for all texts that have no bit of their own. */
const passBit = 1 << 31;

/** The filters that can be pushed down; the others are the pipeline's. */
export function compileSearch(filters: readonly LineFilter[]): LineSearch {
  let bits = 0;
  const nextBit = (): number => (bits < 31 ? 1 << bits++ : passBit);
  const markers = filters.filter(isPushable).map((filter) => markerOf(filter, nextBit));
  /** What has been found of dictionaries. */
  const known = new WeakMap<Entries, Uint8Array>();
  const ofDictionary = (entries: Entries): Uint8Array => {
    const marks = known.get(entries) ?? passing(markers, entries, 0, entries.count, allTexts);
    known.set(entries, marks);
    return marks;
  };
  return {
    passesAll: markers.length === 0,
    textsOf: (trigrams) => {
      let texts = passBit;
      for (const { negated, textsOf } of markers) {
        const own = textsOf(trigrams);
        if (own === 0 && !negated) return 0;
        texts |= own;
      }
      return texts;
    },
    rows: ({ entries, codes, firstRow }, from, to, texts) => {
      if (markers.length === 0) return allRows(from, to);
      if (codes === undefined)
        return markedRows(passing(markers, entries, from - firstRow, to - firstRow, texts), from);
      const marks = ofDictionary(entries);
      const ofRows = codes.subarray(from - firstRow, to - firstRow);
      const passed = Uint8Array.from(ofRows, (code) => (code === noEntry ? 0 : (marks[code] ?? 0)));
      return markedRows(passed, from);
    },
  };
}

export function allRows(from: number, to: number): Uint32Array {
  const rows = new Uint32Array(to - from);
  for (let index = 0; index < rows.length; index++) rows[index] = from + index;
  return rows;
}

/** Where marks are 1, counted from `from`. */
function markedRows(marks: Uint8Array, from: number): Uint32Array {
  const rows = new Uint32Array(marks.length);
  let count = 0;
  for (let index = 0; index < marks.length; index++) if (marks[index] === 1) rows[count++] = from + index;
  return rows.subarray(0, count);
}

/** 1 for each entry that passes all filters, of which there is one at least. Where few are left, those are tested one by one. */
function passing(
  markers: readonly Marker[],
  entries: Entries,
  from: number,
  to: number,
  texts: number,
): Uint8Array {
  let passed: Uint8Array | undefined;
  for (const marker of markers) {
    if (passed !== undefined && countOf(passed) * 8 < passed.length) {
      for (let index = 0; index < passed.length; index++)
        if (passed[index] === 1 && !marker.test(entryText(entries, from + index))) passed[index] = 0;
      continue;
    }
    const marks = new Uint8Array(to - from);
    marker.mark(entries, from, to, marks, texts);
    if (marker.negated)
      for (let index = 0; index < marks.length; index++) marks[index] = 1 - (marks[index] ?? 0);
    if (passed !== undefined)
      for (let index = 0; index < marks.length; index++)
        marks[index] = (marks[index] ?? 0) & (passed[index] ?? 0);
    passed = marks;
  }
  return passed ?? new Uint8Array(to - from).fill(1);
}

function countOf(marks: Uint8Array): number {
  let count = 0;
  for (let index = 0; index < marks.length; index++) count += marks[index] ?? 0;
  return count;
}

function markerOf(filter: LineFilter, nextBit: () => number): Marker {
  const { op, alternatives } = filter;
  const parts = alternatives.flatMap(({ value }) =>
    op.endsWith('~') ? regexpParts(value) : [textPart(value)],
  );
  const withBits = parts.map((part) => ({ ...part, bit: nextBit() }));
  return {
    mark: (entries, from, to, marks, texts) => {
      for (const part of withBits) if ((texts & part.bit) !== 0) part.mark(entries, from, to, marks);
    },
    negated: op.startsWith('!'),
    test: lineTest(filter),
    textsOf: (trigrams) =>
      withBits.reduce((texts, { mayMatch, bit }) => (mayMatch(trigrams) ? texts | bit : texts), 0),
  };
}

/** One way in which a line can match. */
interface Part {
  mark(entries: Entries, from: number, to: number, marks: Uint8Array): void;
  mayMatch(trigrams: Buffer): boolean;
}

function textPart(text: string): Part {
  const needle = Buffer.from(text);
  if (needle.length === 0)
    return { mark: (_entries, _from, _to, marks) => void marks.fill(1), mayMatch: () => true };
  const find = byteFinder(needle);
  return {
    mark: (entries, from, to, marks) => markText(entries, from, to, find(entries.body), needle.length, marks),
    mayMatch: (trigrams) => mayHold(trigrams, needle),
  };
}

function regexpParts(pattern: string): readonly Part[] {
  const { test } = compileRe2(pattern);
  const ways = requiredLiterals(pattern)?.map((literals) => literals.map((text) => Buffer.from(text)));
  if (ways === undefined)
    return [
      {
        mark: (entries, from, to, marks) => {
          for (let entry = from; entry < to; entry++)
            if (marks[entry - from] === 0 && test(entryText(entries, entry))) marks[entry - from] = 1;
        },
        mayMatch: () => true,
      },
    ];
  return ways.map((literals) => {
    const choose = literalChooser(literals);
    return {
      mark: (entries, from, to, marks) => {
        const { find, bytes } = choose(entries.body);
        const passes = (entry: number): boolean => test(entryText(entries, entry));
        markText(entries, from, to, find(entries.body), bytes, marks, passes);
      },
      mayMatch: (trigrams) => literals.every((literal) => mayHold(trigrams, literal)),
    };
  });
}

const sampleBytes = 262_144;

interface Literal {
  readonly find: (body: Buffer) => Find;
  readonly bytes: number;
}

/** Chooses the literal that lines have least often, by the first page that has one of them. */
function literalChooser(literals: readonly Buffer[]): (body: Buffer) => Literal {
  const all = literals.map((literal) => ({ find: byteFinder(literal), bytes: literal.length }));
  const longest = all.reduce((best, one) => (one.bytes > best.bytes ? one : best));
  let chosen = all.length === 1 ? longest : undefined;
  return (body) => {
    if (chosen) return chosen;
    const sample = body.subarray(0, sampleBytes);
    const counted = all.map((literal) => ({ literal, count: occurrences(sample, literal) }));
    if (counted.every(({ count }) => count === 0)) return longest;
    chosen = counted.sort((a, b) => a.count - b.count)[0]?.literal ?? longest;
    return chosen;
  };
}

function occurrences(sample: Buffer, { find }: Literal): number {
  const next = find(sample);
  let count = 0;
  for (let at = next(0, sample.length); at >= 0; at = next(at + 1, sample.length)) count++;
  return count;
}

/** Marks entries that hold the needle, which has so many bytes, and pass the test where there is one. */
function markText(
  entries: Entries,
  from: number,
  to: number,
  find: Find,
  needleBytes: number,
  marks: Uint8Array,
  test?: (entry: number) => boolean,
): void {
  const begin = from === 0 ? 0 : (entries.starts()[from] ?? 0);
  const { byteLength } = entries.body;
  let at = find(begin, byteLength);
  // Where texts begin need not be known of what has no occurrence.
  if (at < 0) return;
  const starts = entries.starts();
  const end = starts[to] ?? 0;
  for (let entry = from; at >= 0 && at < end; ) {
    while ((starts[entry + 1] ?? end) <= at) entry++;
    const textStart = (starts[entry] ?? 0) + 4;
    const textEnd = starts[entry + 1] ?? 0;
    // The bytes of a length look like text, too.
    const inside = at >= textStart && at + needleBytes <= textEnd;
    if (inside && marks[entry - from] === 0 && (test === undefined || test(entry))) marks[entry - from] = 1;
    at = find(inside ? textEnd : at + 1, end);
  }
}
