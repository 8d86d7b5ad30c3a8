import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Expr } from './ast.ts';
import { checkExpr } from './check.ts';
import { nestingMax, queryCharactersMax } from './limits.ts';
import { parseExpr } from './parse.ts';
import { parseSelector } from './parse-selector.ts';
import { printExpr } from './print.ts';

/** The tree as fully parenthesised text. */
function shape(expr: Expr): string {
  switch (expr.kind) {
    case 'binary':
      return `(${shape(expr.left)} ${expr.op} ${shape(expr.right)})`;
    case 'unary':
      return `(${expr.op}${shape(expr.input)})`;
    case 'paren':
      return shape(expr.input);
    default:
      return printExpr(expr);
  }
}

test.each([
  ['1 + 2 * 3 ^ 2 ^ 2', '(1 + (2 * (3 ^ (2 ^ 2))))'],
  ['-1 ^ 2', '(-(1 ^ 2))'],
  ['-a * b', '((-a) * b)'],
  ['- - 1', '1'],
  ['a + b offset 5m', '(a + b offset 5m)'],
  ['-a offset 5m', '(-a offset 5m)'],
  ['a offset -2 ^ 2', '(a offset -2s ^ 2)'],
  ['a or b and c unless d', '(a or ((b and c) unless d))'],
  ['a == b + c atan2 d', '(a == (b + (c atan2 d)))'],
  ['a - b - c', '((a - b) - c)'],
  ['a + b[5m:1m] @ 10', '(a + b[5m:1m] @ 10.000)'],
  ['sum + by', '(sum + by)'],
  ['fill + fill(1) fill', '(fill + fill)'],
  ['offset{step="1s"}', 'offset{step="1s"}'],
  ['SUM BY (Job) (a)', 'sum by (Job) (a)'],
  ['sum(a) without (b,)', 'sum without (b) (a)'],
  ['{"a.b", c!~"d"}', '{__name__="a.b",c!~"d"}'],
  ['a{"x y"=\'z\'}', 'a{"x y"="z"}'],
  ['a @ start() offset 1h', 'a @ start() offset 1h'],
  ['a[step() * (2 + 1)]', 'a[step() * (2 + 1)]'],
  ['0x1F + 017 + 1_000 + .5e1 + 1h30m', '((((31 + 15) + 1000) + 5) + 1h30m)'],
  ['a # comment\n+ b', '(a + b)'],
])('%s is read as %s', (text, wanted) => {
  expect(shape(parseExpr(text))).toBe(wanted);
});

test.each([
  ['', '1:1: parse error: no expression found in input'],
  ['a b', '1:3: parse error: unexpected identifier "b"'],
  ['a +\n  ü', "2:3: parse error: unexpected character: 'ü'"],
  ['"ü" b', '1:6: parse error: unexpected identifier "b"'],
  ['sum(', '1:5: parse error: unclosed left parenthesis'],
  ['f(x)', '1:1: parse error: unknown function with name "f"'],
  ['a{b=c}', '1:5: parse error: unexpected identifier "c" in label matching, expected string'],
  ['a{b=~"["}', '1:3: parse error: error parsing regexp: missing closing ]: `[`'],
  ['a[5m] + 1', '1:1: parse error: binary expression must contain only scalar and instant vector types'],
  ['a offset 1m offset 1m', '1:1: parse error: offset may not be set multiple times'],
  ['a @ 1 @ 2', '1:1: parse error: @ <timestamp> may not be set multiple times'],
  [
    '1 @ 1',
    '1:1: parse error: @ modifier must be preceded by an instant vector selector or range vector selector or a subquery',
  ],
  ['a[0s]', '1:3: parse error: duration must be greater than 0'],
  ['a[5m', '1:5: parse error: unexpected end of input in duration expression'],
  ['a == 1 == bool', '1:15: parse error: unexpected end of input'],
  ['1 == 1', '1:3: parse error: comparisons between scalars must use BOOL modifier'],
  ['a anchored smoothed', '1:1: parse error: anchored and smoothed modifiers cannot be used together'],
  ['label_join(a)', '1:1: parse error: expected at least 3 argument(s) in call to "label_join", got 1'],
  ['round(a, 1, 2)', '1:1: parse error: expected at most 2 argument(s) in call to "round", got 3'],
])('%s is refused', (text, message) => {
  expect(() => checkExpr(text, parseExpr(text))).toThrow(message);
});

test('too deep and too long queries are errors, not crashes', () => {
  const deep = `${'('.repeat(100_000)}1${')'.repeat(100_000)}`;
  expect(() => parseExpr(deep)).toThrow(`nestingMax = ${nestingMax}`);
  expect(() => parseExpr(`${'-'.repeat(100_000)}1`)).toThrow('nestingMax');
  expect(() => parseExpr(' '.repeat(queryCharactersMax + 1))).toThrow('queryCharactersMax');
});

test('match[] takes a selector and nothing else', () => {
  expect(parseSelector('a{b="c"}')).toMatchObject({
    name: 'a',
    matchers: [{ label: 'b', op: '=', value: 'c' }],
  });
  for (const text of ['1', 'a + b', 'a[5m]', 'sum(a)', ''])
    expect(() => parseSelector(text)).toThrow('unexpected');
});

const folder = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora', 'promql-parser', 'dev');
const corpusIsThere = existsSync(folder);
interface CorpusEntry {
  readonly input?: string;
  readonly error_string?: string;
}
const read = (name: string): readonly CorpusEntry[] =>
  readFileSync(join(folder, name), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as CorpusEntry);

test.skipIf(!corpusIsThere)(
  "Prometheus' parser tests: what must parse, and what must fail with its text",
  () => {
    const wrong: string[] = [];
    let seen = 0;
    for (const { input } of read('parse_ok.jsonl')) {
      if (input === undefined) continue;
      seen++;
      try {
        checkExpr(input, parseExpr(input));
      } catch (error) {
        wrong.push(`${input}: ${error}`);
      }
    }
    for (const { input, error_string: wanted } of read('parse_fail.jsonl')) {
      // Input that is no UTF-8 cannot get here.
      if (input === undefined) continue;
      seen++;
      let message = 'no error';
      try {
        checkExpr(input, parseExpr(input));
      } catch (error) {
        message = error instanceof Error ? error.message : String(error);
      }
      if (message === 'no error' || (wanted !== undefined && message !== wanted))
        wrong.push(`${input}: ${message}`);
    }
    expect(wrong).toEqual([]);
    expect(seen).toBeGreaterThan(200);
  },
);
