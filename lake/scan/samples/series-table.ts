import type { Label, Labels } from '../../model/labels.ts';
import { parseLabelsJson } from '../../model/labels.ts';
import type { Matcher } from '../../promql/ast.ts';
import { matchingValues } from '../../promql/matcher.ts';
import { compareLabels } from '../../promql/value.ts';

/** The series of all files that a thread knows of, each once, by numbers. Numbers are never given out again. */
export interface SeriesTable {
  /** The number of a series; `json` gives its labels when it is new. */
  add(id: bigint, json: () => string): number;
  /** Keeps series until they are released once more. */
  retain(numbers: Uint32Array): void;
  release(numbers: Uint32Array): void;
  labelsOf(number: number): Labels;
  idOf(number: number): bigint;
  /** Greater than every number. */
  readonly end: number;
  /** 1 for each series, by its number, that satisfies the matchers; 2 for the others. */
  verdicts(matchers: readonly Matcher[]): Uint8Array;
  /** Sorts numbers by the order that series have in an answer. */
  sort(numbers: Uint32Array): Uint32Array;
  /** What it holds, estimated. */
  readonly bytes: number;
}

interface Entry {
  readonly id: bigint;
  readonly labels: Labels;
  readonly bytes: number;
  users: number;
}

/** Places in the order of labels, and the numbers in that order. */
interface Ranks {
  readonly rankOf: Uint32Array;
  readonly order: Uint32Array;
}

/** Sets of matchers whose verdicts are kept. */
const verdictsMax = 64;
/** What labels take beside their text. */
const bytesPerLabel = 48;

export const yes = 1;
const no = 2;

export function createSeriesTable(): SeriesTable {
  const numberOf = new Map<bigint, number>();
  const entries: (Entry | undefined)[] = [];
  const texts = sharedTexts();
  let ranks: Ranks | undefined;
  let bytes = 0;

  const ranksNow = (): Ranks => {
    if (ranks) return ranks;
    const order = [...entries.keys()].filter((number) => entries[number] !== undefined);
    order.sort((one, other) => compareLabels(labelsOf(one), labelsOf(other)));
    const rankOf = new Uint32Array(entries.length);
    for (const [rank, number] of order.entries()) rankOf[number] = rank;
    ranks = { rankOf, order: Uint32Array.from(order) };
    return ranks;
  };
  const labelsOf = (number: number): Labels => entries[number]?.labels ?? [];
  const verdicts = createVerdicts(entries);
  return {
    add: (id, json) => {
      const known = numberOf.get(id);
      const entry = known === undefined ? undefined : entries[known];
      if (known !== undefined && entry) {
        entry.users++;
        return known;
      }
      const text = json();
      const labels = parseLabelsJson(text).map(([name, value]): Label => [texts.of(name), texts.of(value)]);
      const size = text.length + labels.length * bytesPerLabel;
      const number = entries.push({ id, labels, bytes: size, users: 1 }) - 1;
      numberOf.set(id, number);
      bytes += size;
      ranks = undefined;
      return number;
    },
    retain: (numbers) => {
      for (const number of numbers) {
        const entry = entries[number];
        if (entry) entry.users++;
      }
    },
    release: (numbers) => {
      for (const number of numbers) {
        const entry = entries[number];
        if (!entry || --entry.users > 0) continue;
        entries[number] = undefined;
        numberOf.delete(entry.id);
        bytes -= entry.bytes;
      }
      if (numberOf.size === 0) texts.clear();
    },
    labelsOf,
    idOf: (number) => entries[number]?.id ?? 0n,
    get end() {
      return entries.length;
    },
    get bytes() {
      return bytes;
    },
    verdicts,
    sort: (numbers) => {
      const { rankOf, order } = ranksNow();
      return numbers
        .map((number) => rankOf[number] ?? 0)
        .sort()
        .map((rank) => order[rank] ?? 0);
    },
  };
}

/** Names and values are kept once, however many series have them. */
function sharedTexts() {
  const texts = new Map<string, string>();
  return {
    of: (text: string): string => {
      const known = texts.get(text);
      if (known === undefined) texts.set(text, text);
      return known ?? text;
    },
    clear: () => texts.clear(),
  };
}

/** Remembers which series satisfy sets of matchers. */
function createVerdicts(
  entries: readonly (Entry | undefined)[],
): (matchers: readonly Matcher[]) => Uint8Array {
  /** In the order of their last use; series before `end` have been looked at. */
  const held = new Map<string, { byNumber: Uint8Array; end: number }>();
  return (matchers) => {
    const key = JSON.stringify(matchers);
    const known = held.get(key) ?? { byNumber: new Uint8Array(0), end: 0 };
    held.delete(key);
    held.set(key, known);
    for (const oldest of held.keys()) if (held.size > verdictsMax) held.delete(oldest);
    if (known.byNumber.length < entries.length) {
      const grown = new Uint8Array(entries.length + 1024);
      grown.set(known.byNumber);
      known.byNumber = grown;
    }
    if (known.end === entries.length) return known.byNumber;
    const test = testOf(matchers, entries);
    for (; known.end < entries.length; known.end++) {
      const entry = entries[known.end];
      if (entry) known.byNumber[known.end] = test(entry.labels) ? yes : no;
    }
    return known.byNumber;
  };
}

/** Every value of a label is looked at once, however many series have it. */
function testOf(
  matchers: readonly Matcher[],
  entries: readonly (Entry | undefined)[],
): (labels: Labels) => boolean {
  const wanted = new Map<string, ReadonlySet<string>>();
  for (const label of new Set(matchers.map((matcher) => matcher.label))) {
    const values = new Set(['']);
    for (const entry of entries)
      for (const pair of entry?.labels ?? []) if (pair[0] === label) values.add(pair[1]);
    const own = matchers.filter((matcher) => matcher.label === label);
    wanted.set(label, matchingValues(own, [...values]));
  }
  const tests = [...wanted];
  return (labels) =>
    tests.every(([label, values]) => {
      for (const pair of labels) if (pair[0] === label) return values.has(pair[1]);
      return values.has('');
    });
}
