import { messageOf } from '../../base/errors.ts';
import { compileRe2, type Re2 } from '../../regexp/re2.ts';
import type { Extraction, LogfmtStage } from '../ast.ts';
import { emptyKey, emptyPath, parseJsonPath, parseLogfmtKey } from './field-path.ts';
import { eachField, JsonError, stop, stringText, valueAtPath, valueEnd } from './json.ts';
import { readLogfmt } from './logfmt.ts';
import { captures, parsePattern } from './pattern.ts';
import {
  extractedName,
  extractLabel,
  failLine,
  labelNameOf,
  labelOf,
  labelValueOf,
  nestedName,
  type Row,
  setLabel,
  type Wanted,
} from './row.ts';

// The stages that make labels of a line. Each is made once for a query and throws an Error when what it was given is
// wrong; a line that cannot be read gets the labels __error__ and __error_details__.

export type Parse = (row: Row) => void;

export function jsonParser(wanted: Wanted): Parse {
  return (row) => {
    try {
      flatten(row, row.line, 0, undefined, wanted);
    } catch (error) {
      failJson(row, error);
    }
  };
}

function failJson({ labels }: Row, error: unknown): void {
  if (!(error instanceof JsonError)) throw error;
  failLine(labels, 'JSONParserErr', error.message);
}

/** Nested objects are one level of names, joined by `_`; lists and null are left out. */
function flatten(row: Row, text: string, start: number, prefix: string | undefined, wanted: Wanted): number {
  return eachField(text, start, (field, kind, at) => {
    if (kind === 'null' || kind === 'array') return undefined;
    const name = nestedName(prefix, field);
    if (kind === 'object') return flatten(row, text, at, name, wanted);
    const end = valueEnd(text, at, kind);
    if (name === '' && prefix === undefined) return end;
    if (wanted !== undefined && !wanted.has(name) && !wanted.has(`${name}_extracted`)) return end;
    const value = kind === 'string' ? labelValueOf(stringText(text, at, end)) : text.slice(at, end);
    return extractLabel(row.labels, name, value, wanted) ? stop : end;
  });
}

/** `json label="path"`: those labels only, empty where there is nothing. */
export function jsonExpressions(expressions: readonly Extraction[]): Parse {
  const paths = expressions.map(({ label, expression }) => ({
    label,
    path: attempt(expression, (text) => {
      const path = parseJsonPath(text);
      if (path.length === 0) throw emptyPath();
      return path;
    }),
  }));
  return (row) => {
    const { line, labels } = row;
    if (line === '') return;
    if (!/^["{[]/.test(line)) return failLine(labels, 'JSONParserErr', '');
    const missing: string[] = [];
    const failed = (details: string): void => failLine(labels, 'JSONParserErr', details);
    for (const { label, path } of paths) {
      const value = pathValue(line, path, failed);
      if (value === undefined) missing.push(label);
      else setLabel(labels, extractedName(labels, label), labelValueOf(value));
    }
    for (const label of missing) if (labelOf(labels, label) === undefined) setLabel(labels, label, '');
  };
}

/** What is wrong behind a value does not matter to it; `failed` is told what is wrong with it. */
function pathValue(
  line: string,
  path: readonly (string | number)[],
  failed: (details: string) => void,
): string | undefined {
  try {
    return valueAtPath(line, path);
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
    const isOwn = error.field === undefined || error.field === path.at(-1);
    if (error.isValue && isOwn) failed(error.message);
    return undefined;
  }
}

function attempt<T>(expression: string, parse: (text: string) => T): T {
  try {
    return parse(expression);
  } catch (cause) {
    throw new Error(`cannot parse expression [${expression}]: ${messageOf(cause)}`);
  }
}

export function logfmtParser({ strict, keepEmpty, expressions }: LogfmtStage, wanted: Wanted): Parse {
  if (expressions.length > 0) return logfmtExpressions(expressions, strict);
  return ({ line, labels }) => {
    const error = readLogfmt(line, strict, (key, value) => {
      const name = labelNameOf(key, true);
      if (name === '' || (value === '' && !keepEmpty)) return true;
      return !extractLabel(labels, name, labelValueOf(value), wanted);
    });
    if (error) failLogfmt(labels, error);
  };
}

function failLogfmt(
  labels: Row['labels'],
  { position, message }: { position: number; message: string },
): void {
  failLine(labels, 'LogfmtParserErr', `logfmt syntax error at pos ${position} : ${message}`);
}

/** `logfmt label="key"`: those labels only, empty where there is nothing; of several values the last stays. */
function logfmtExpressions(expressions: readonly Extraction[], strict: boolean): Parse {
  const own = new Set(expressions.map(({ label }) => label));
  const labelOfKey = new Map<string, string>();
  for (const { label, expression } of expressions) {
    const key = attempt(expression, (text) => {
      if (text.trim() === '') throw emptyKey();
      return parseLogfmtKey(text);
    });
    if (!labelOfKey.has(key)) labelOfKey.set(key, label);
  }
  return ({ line, labels }) => {
    for (const label of own) if (extractedName(labels, label) === label) setLabel(labels, label, '');
    const error = readLogfmt(line, strict, (key, value) => {
      const name = labelNameOf(key, true);
      const label = labelOfKey.get(name) ?? name;
      if (own.has(label)) setLabel(labels, extractedName(labels, label), validText(value));
      return true;
    });
    if (error) failLogfmt(labels, error);
  };
}

/** Of a value with broken UTF-8 nothing is left here, unlike elsewhere. */
const validText = (value: string): string => (value.includes('\ufffd') ? '' : value);

export function regexpParser(pattern: string, wanted: Wanted): Parse {
  const regexp = namedRegexp(pattern);
  const names = new Map<number, string>();
  for (const [group, name] of regexp.groupNames) {
    if ([...names.values()].includes(name)) throw new Error(`duplicate extracted label name '${name}'`);
    names.set(group, labelNameOf(name, true));
  }
  if (names.size === 0) throw new Error('at least one named capture must be supplied');
  return ({ line, labels }) => {
    const groups = regexp.exec(line);
    if (groups === undefined) return;
    for (const [group, name] of names) extractLabel(labels, name, groups[group] ?? '', wanted);
  };
}

/** Of two groups with one name Loki has its own words. */
function namedRegexp(pattern: string): Re2 {
  try {
    return compileRe2(pattern);
  } catch (cause) {
    const [, name] = /duplicate capture group name: `(.*)`/.exec(messageOf(cause)) ?? [];
    throw name === undefined ? cause : new Error(`duplicate extracted label name '${name}'`, { cause });
  }
}

export function patternParser(text: string, wanted: Wanted): Parse {
  const pattern = parsePattern(text);
  return ({ line, labels }) => {
    for (const [name, value] of captures(pattern, line)) extractLabel(labels, name, value, wanted);
  };
}

const entryField = '_entry';

/** What Promtail's pack stage has packed: labels, and the line itself in `_entry`. */
export function unpackParser(): Parse {
  return (row) => {
    const { line, labels } = row;
    if (line === '') return;
    if (!line.startsWith('{'))
      return failLine(labels, 'JSONParserErr', 'expecting json object(6), but it is not');
    const found: [string, string][] = [];
    let entry: string | undefined;
    try {
      eachField(line, 0, (field, kind, at) => {
        if (kind !== 'string') return undefined;
        const end = valueEnd(line, at, kind);
        const value = stringText(line, at, end);
        if (field === entryField) entry = value;
        else found.push([labelNameOf(extractedName(labels, field), true), labelValueOf(value)]);
        return end;
      });
    } catch (error) {
      return failJson(row, error);
    }
    if (entry === undefined) return;
    for (const [name, value] of found) setLabel(labels, name, value);
    row.line = entry;
  };
}
