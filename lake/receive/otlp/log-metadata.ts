import { levelNames, normalLevel } from '../logs/level.ts';
import { labelPairs, type Pair } from './any-value.ts';

/** Structured metadata that is being put together: names, and values as JSON, of the same index. */
export interface Parts {
  readonly names: string[];
  readonly values: string[];
  /** The level that one of them names, and the rank of that name among those that name levels. */
  level: string | undefined;
  levelRank: number;
}

export const levelLabel = 'detected_level';
/** `detected_level` itself comes before all names. */
const levelRanks = new Map([levelLabel, ...levelNames].map((name, rank) => [name, rank]));

/** Among the names that name levels, the first of them first; undefined: it is none. */
export const levelRankOf = (name: string): number | undefined => levelRanks.get(name);

export function metadataParts(pairs: readonly Pair[]): Parts {
  const parts: Parts = { names: [], values: [], level: undefined, levelRank: levelRanks.size };
  for (const pair of pairs) for (const [name, value] of labelPairs(pair)) addPart(parts, name, value);
  sortParts(parts);
  return parts;
}

export function addPart(parts: Parts, name: string, value: string): void {
  const rank = levelRanks.get(name);
  if (rank !== undefined && rank < parts.levelRank && value !== '') {
    parts.level = normalLevel(value);
    parts.levelRank = rank;
  }
  parts.names.push(name);
  parts.values.push(quoted(value));
}

/** For names that name no level, and values that JSON has as they are. */
export function pushPart(parts: Parts, name: string, value: string): void {
  parts.names.push(name);
  parts.values.push(`"${value}"`);
}

/** Both as one canonical JSON object, with the level; of names that are there twice the first of `own` counts. */
export function metadataJson(own: Parts, base: Parts, level: string): string {
  if (own.levelRank === 0) {
    const given = own.names.indexOf(levelLabel);
    if (given >= 0) own.values[given] = quoted(level);
  } else if (!base.names.includes(levelLabel)) {
    own.names.push(levelLabel);
    own.values.push(quoted(level));
  }
  sortParts(own);
  let text = '';
  let [at, ofBase] = [0, 0];
  let before: string | undefined;
  while (at < own.names.length || ofBase < base.names.length) {
    const mine = own.names[at];
    const theirs = base.names[ofBase];
    const isMine = theirs === undefined || (mine !== undefined && mine <= theirs);
    const name = (isMine ? mine : theirs) ?? '';
    const value = (isMine ? own.values[at++] : base.values[ofBase++]) ?? '';
    if (name === before) continue;
    before = name;
    // Names are letters, digits and underscores.
    text += text === '' ? `{"${name}":${value}` : `,"${name}":${value}`;
  }
  return `${text}}`;
}

const plain = /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/;
/** As JSON.stringify, which is slower for what most texts are. */
export const quoted = (text: string): string => (plain.test(text) ? `"${text}"` : JSON.stringify(text));

/** In the order of their names; stable, because of names that are there twice. */
export function sortParts({ names, values }: Parts): void {
  if (names.length > fewMax) {
    const sorted = names
      .map((name, index) => [name, values[index] ?? ''] as const)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    for (const [index, [name, value]] of sorted.entries()) {
      names[index] = name;
      values[index] = value;
    }
    return;
  }
  for (let index = 1; index < names.length; index++) {
    const name = names[index] ?? '';
    const value = values[index] ?? '';
    let at = index;
    for (; at > 0 && (names[at - 1] ?? '') > name; at--) {
      names[at] = names[at - 1] ?? '';
      values[at] = values[at - 1] ?? '';
    }
    names[at] = name;
    values[at] = value;
  }
}

/** So many are sorted in place, without an array of pairs. */
const fewMax = 24;
