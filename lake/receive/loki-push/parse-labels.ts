import type { Label } from '../../model/labels.ts';
import { invalid } from './errors.ts';

// The labels of a stream as Loki's protobuf message has them: a text like {app="press", level="info"}.

const nameAt = /[a-zA-Z_][a-zA-Z0-9_]*/y;
const spaceAt = /\s*/y;
const doubleQuotedAt = /"(?:[^"\\\n]|\\.)*"/y;
const singleQuotedAt = /'(?:[^'\\\n]|\\.)*'/y;
const rawAt = /`[^`]*`/y;

/** Throws FirnError `invalid` worded like Loki. */
export function parseLabels(text: string): Label[] {
  let at = 0;
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    const found = pattern.exec(text)?.[0];
    at += found?.length ?? 0;
    return found;
  };
  const expect = (what: string, found: string | undefined | boolean): void => {
    if (!found) throw parsing(text, `expected ${what} at position ${at + 1}`);
  };
  const character = (wanted: string): boolean => {
    take(spaceAt);
    if (text[at] !== wanted) return false;
    at++;
    return true;
  };
  const labels: Label[] = [];
  expect('"{"', character('{'));
  while (!character('}')) {
    if (labels.length > 0) {
      expect('"," or "}"', character(','));
      if (character('}')) break;
    }
    take(spaceAt);
    const name = take(nameAt);
    expect('a label name', name);
    expect('"="', character('='));
    take(spaceAt);
    const quoted = take(doubleQuotedAt) ?? take(singleQuotedAt) ?? take(rawAt);
    expect('a quoted label value', quoted);
    labels.push([name ?? '', unquote(text, quoted ?? '')]);
  }
  take(spaceAt);
  expect('the end', at === text.length);
  return labels;
}

const escapes: Readonly<Record<string, string>> = {
  ...{ n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' },
  ...{ '\\': '\\', '"': '"', "'": "'" },
};

const escaped = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))/g;

/** A Go string literal. Escapes of single bytes (\x, octal) are taken as code points. */
function unquote(text: string, quoted: string): string {
  const inner = quoted.slice(1, -1);
  if (quoted.startsWith('`') || !inner.includes('\\')) return inner;
  return inner.replace(escaped, (_, hex2, hex4, hex8, octal, one: string | undefined) => {
    if (one !== undefined) {
      const plain = escapes[one];
      if (plain === undefined) throw parsing(text, `\\${one} is not an escape`);
      return plain;
    }
    const hex = (hex2 ?? hex4 ?? hex8) as string | undefined;
    const code = hex === undefined ? Number.parseInt(String(octal), 8) : Number.parseInt(hex, 16);
    if (code > 0x10ffff) throw parsing(text, 'an escape is no character');
    return String.fromCodePoint(code);
  });
}

const parsing = (text: string, why: string) =>
  invalid(`error parsing labels ${JSON.stringify(text.slice(0, 300))}: ${why}`);
