import { createByteTable } from '../../base/byte-table.ts';
import { knownLevel, levelNames } from './level.ts';

// What a line itself says about its level. Most lines are looked at once, as bytes; the few whose answer depends on more
// than that become a string.

/** Bytes after which something of interest may stand: first letters of words, quotes, equals signs; others are 0. */
const interest = new Uint8Array(256).fill(1, 128);
for (const character of 'iIeEwWcCdDlLsS="') interest[character.charCodeAt(0)] = 1;

const codesOf = (word: string): readonly [lower: Uint8Array, upper: Uint8Array] => [
  Buffer.from(word),
  Buffer.from(word.toUpperCase()),
];
const words = {
  ...{ info: codesOf('info'), err: codesOf('err'), error: codesOf('error'), warn: codesOf('warn') },
  ...{ warning: codesOf('warning'), critical: codesOf('critical'), debug: codesOf('debug') },
};
const [level] = codesOf('level');
const [lvl] = codesOf('lvl');
const [severity] = codesOf('severity');

const QUOTE = 0x22;
const EQUALS = 0x3d;

/** What was found in a line so far. */
const seen = { info: false, error: false, warn: false, critical: false, debug: false, name: false };

/** The level that the line bytes[start, end) says, `unknown` where it says none. */
export function levelOfLine(bytes: Buffer, start: number, end: number): string {
  const first = bytes[start] ?? 0;
  if (start === end) return 'unknown';
  if (first === 0x7b || first <= 0x20) return levelOfString(bytes.toString('utf8', start, end));
  seen.info = seen.error = seen.warn = seen.critical = seen.debug = seen.name = false;
  let plain = true; // no quote yet, and nothing that may be a space of Unicode
  let hasEquals = false;
  for (let at = start; at < end; at++) {
    const byte = bytes[at] ?? 0;
    if (interest[byte] === 0) continue;
    if (byte === EQUALS) hasEquals = true;
    else if (byte === QUOTE || byte >= 0x80) plain = false;
    else if (noteWord(bytes, at, start, end, byte | 0x20) && plain) {
      const named = levelPair(bytes, at, start, end);
      if (named !== undefined) return named;
    }
  }
  if (hasEquals && seen.name) return levelOfString(bytes.toString('utf8', start, end));
  if (seen.info) return 'info';
  if (seen.error) return 'error';
  if (seen.warn) return 'warn';
  if (seen.critical) return 'critical';
  return seen.debug ? 'debug' : 'unknown';
}

/** Notes the word that begins here. Whether it is `level`. */
function noteWord(bytes: Uint8Array, at: number, start: number, end: number, letter: number): boolean {
  const next = (bytes[at + 1] ?? 0) | 0x20;
  switch (letter) {
    case 0x69: // info
      if (next === 0x6e && isWord(bytes, at, end, words.info)) seen.info = true;
      return false;
    case 0x65: // err, error
      if (next !== 0x72) return false;
      if (isMarked(bytes, at, start, end, words.err) || isBracketed(bytes, at, start, end, words.error))
        seen.error = true;
      return false;
    case 0x77: // warn, warning
      if (next !== 0x61) return false;
      if (isWord(bytes, at, end, words.warning) || isMarked(bytes, at, start, end, words.warn))
        seen.warn = true;
      return false;
    case 0x63: // critical
      if (next === 0x72 && isMarked(bytes, at, start, end, words.critical)) seen.critical = true;
      return false;
    case 0x64: // debug
      if (next === 0x65 && isWord(bytes, at, end, words.debug)) seen.debug = true;
      return false;
    case 0x6c: // level, lvl
      if (next === 0x76 && isFolded(bytes, at, end, lvl)) seen.name = true;
      if (next !== 0x65 || !isFolded(bytes, at, end, level)) return false;
      seen.name = true;
      return true;
    default: // severity
      if (next === 0x65 && isFolded(bytes, at, end, severity)) seen.name = true;
      return false;
  }
}

function startsWith(bytes: Uint8Array, at: number, end: number, word: Uint8Array): boolean {
  if (at + word.length > end) return false;
  for (let index = 0; index < word.length; index++) if (bytes[at + index] !== word[index]) return false;
  return true;
}

/** Whatever the case of its letters. */
function isFolded(bytes: Uint8Array, at: number, end: number, word: Uint8Array): boolean {
  if (at + word.length > end) return false;
  for (let index = 0; index < word.length; index++)
    if (((bytes[at + index] ?? 0) | 0x20) !== word[index]) return false;
  return true;
}

type Word = readonly [lower: Uint8Array, upper: Uint8Array];

const isWord = (bytes: Uint8Array, at: number, end: number, [lower, upper]: Word): boolean =>
  startsWith(bytes, at, end, lower) || startsWith(bytes, at, end, upper);

const isBracketed = (bytes: Uint8Array, at: number, start: number, end: number, word: Word): boolean => {
  const after = at + word[0].length;
  return (
    at > start &&
    bytes[at - 1] === 0x5b &&
    after < end &&
    bytes[after] === 0x5d &&
    isWord(bytes, at, end, word)
  );
};

/** `word:` or `[word]` */
function isMarked(bytes: Uint8Array, at: number, start: number, end: number, word: Word): boolean {
  const after = at + word[0].length;
  const hasColon = after < end && bytes[after] === 0x3a;
  return (hasColon && isWord(bytes, at, end, word)) || isBracketed(bytes, at, start, end, word);
}

const isSpace = (byte: number): boolean => byte === 0x20 || (byte >= 9 && byte <= 13);

/** Levels by the bytes of their words; '' for what is none. */
let levels = createByteTable();
let levelTexts: string[] = [];
const levelsMax = 1000;

/** The level of `level=` that stands here as a pair of its own, where it names one. */
function levelPair(bytes: Buffer, at: number, start: number, end: number): string | undefined {
  if (!startsWith(bytes, at, end, level) || bytes[at + level.length] !== EQUALS) return undefined;
  if (at > start && !isSpace(bytes[at - 1] ?? 0)) return undefined;
  const from = at + level.length + 1;
  let to = from;
  for (; to < end; to++) {
    const byte = bytes[to] ?? 0;
    if (isSpace(byte)) break;
    if (byte === QUOTE || byte === EQUALS || byte >= 0x80) return undefined;
  }
  if (to === from) return undefined;
  const index = levels.find(bytes, from, to);
  if (index >= 0) return levelTexts[index] || undefined;
  if (levels.size >= levelsMax) {
    levels = createByteTable();
    levelTexts = [];
  }
  const known = knownLevel(bytes.toString('latin1', from, to));
  levelTexts[levels.insert(bytes, from, to)] = known ?? '';
  return known;
}

/** Of a line as a string: what `levelOfLine` says of its bytes. */
export function levelOfString(line: string): string {
  const first = line.charCodeAt(0);
  const json = first === 0x7b || first <= 0x20 ? isJson(line) : false;
  const named = json ? levelOfJson(line) : line.includes('=') ? levelOfLogfmt(line) : undefined;
  return (named === undefined ? undefined : knownLevel(named)) ?? levelOfText(line);
}

const isJson = (line: string): boolean => {
  const text = line.trim();
  return text.startsWith('{') && text.endsWith('}');
};

const jsonLevel = new RegExp(
  `"(?:${levelNames.map((name) => name.replace('.', '\\.')).join('|')})"\\s*:\\s*"((?:[^"\\\\]|\\\\.)*)"`,
);
const jsonDepthMax = 2;

/** The first member that is named like a level. */
function levelOfJson(line: string): string | undefined {
  const found = jsonLevel.exec(line);
  if (found === null) return undefined;
  const inner = line.slice(line.indexOf('{') + 1, found.index);
  if (!/[{[]/.test(inner)) return found[1];
  try {
    return levelWithin(JSON.parse(line) as object, 0);
  } catch {
    return undefined;
  }
}

function levelWithin(object: object, depth: number): string | undefined {
  if (depth >= jsonDepthMax) return undefined;
  for (const [name, value] of Object.entries(object) as [string, unknown][]) {
    if (typeof value === 'string' && levelNames.includes(name)) return value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
    const level = levelWithin(value, depth + 1);
    if (level !== undefined) return level;
  }
  return undefined;
}

const mayNameLevel = /level|lvl|severity/i;
const foldedNames = [...new Set(levelNames.map((name) => name.toLowerCase()))];
const pair = /([^\s=]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?/g;

/** `level=` among the first pairs, before any quotes: what most lines have, and what no other name outranks. */
const plainLevel = /^[^"]*?(?<![^\s])level=([^\s"=]+)(?=\s|$)/;

function levelOfLogfmt(line: string): string | undefined {
  if (!mayNameLevel.test(line)) return undefined;
  const plain = plainLevel.exec(line)?.[1];
  if (plain !== undefined) return plain;
  let best = foldedNames.length;
  let level: string | undefined;
  for (const [, name = '', value] of line.matchAll(pair)) {
    const rank = value === undefined ? -1 : foldedNames.indexOf(name.toLowerCase());
    if (rank < 0 || rank >= best) continue;
    best = rank;
    level = value?.startsWith('"') ? value.slice(1, -1) : value;
    if (rank === 0) break;
  }
  return level;
}

function levelOfText(line: string): string {
  if (line.includes('info') || line.includes('INFO')) return 'info';
  if (hasWord(line, 'err', 'ERR') || bracketed(line, 'error', 'ERROR')) return 'error';
  if (line.includes('warning') || line.includes('WARNING') || hasWord(line, 'warn', 'WARN')) return 'warn';
  if (hasWord(line, 'critical', 'CRITICAL')) return 'critical';
  return line.includes('debug') || line.includes('DEBUG') ? 'debug' : 'unknown';
}

/** `word:` or `[word]`; most lines have neither. */
function hasWord(line: string, lower: string, upper: string): boolean {
  if (!line.includes(lower) && !line.includes(upper)) return false;
  return line.includes(`${lower}:`) || line.includes(`${upper}:`) || bracketed(line, lower, upper);
}

const bracketed = (line: string, lower: string, upper: string): boolean =>
  line.includes(`[${lower}]`) || line.includes(`[${upper}]`);
