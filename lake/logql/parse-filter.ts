import type { ComparisonOp, LabelFilter, Matcher, MatchOp } from './ast.ts';
import { checkMatcher } from './check.ts';
import { readNumber } from './parse-number.ts';
import { accept, expect, fail, isAt, nested, next, type Parser, peek } from './parser.ts';

type Joint = 'start' | 'or' | 'and' | 'beside';

/**
 * A label filter with all that is joined to it. Loki's grammar gives precedence to `and` and `or` and none to a comma
 * or to filters side by side, where its parser then goes on as long as it can: `a or b, c` is `a or (b and c)`.
 */
export function parseLabelFilter(parser: Parser, context: Joint = 'start'): LabelFilter {
  let left = parsePrimary(parser);
  for (;;) {
    if (isAt(parser, 'or')) {
      if (context === 'or' || context === 'and') return left;
      next(parser);
      left = { kind: 'or', left, right: nested(parser, () => parseLabelFilter(parser, 'or')) };
    } else if (isAt(parser, 'and')) {
      if (context === 'and') return left;
      next(parser);
      left = { kind: 'and', left, right: nested(parser, () => parseLabelFilter(parser, 'and')) };
    } else if (accept(parser, ',') || isAt(parser, 'IDENTIFIER', '(')) {
      left = { kind: 'and', left, right: nested(parser, () => parseLabelFilter(parser, 'beside')) };
    } else return left;
  }
}

function parsePrimary(parser: Parser): LabelFilter {
  if (accept(parser, '(')) {
    const filter = nested(parser, () => parseLabelFilter(parser));
    if (!accept(parser, ')')) fail(parser);
    return filter;
  }
  if (!isAt(parser, 'IDENTIFIER')) fail(parser, 'IDENTIFIER', '(');
  const label = next(parser).text;
  if (isAt(parser, '=~', '!~')) return { kind: 'text', matcher: matcherAfter(parser, label) };
  if (!isAt(parser, '=', '!=', '==', '>', '>=', '<', '<=')) fail(parser);
  const op = next(parser).name;
  if (op === '=' || op === '!=') {
    if (isAt(parser, 'STRING')) {
      const matcher: Matcher = { label, op, value: next(parser).text };
      return { kind: 'text', matcher };
    }
    if (accept(parser, 'ip')) return { kind: 'ip', label, op, pattern: ipPattern(parser) };
  }
  return comparison(parser, label, op === '=' ? '==' : (op as ComparisonOp));
}

function comparison(parser: Parser, label: string, op: ComparisonOp): LabelFilter {
  const duration = accept(parser, 'DURATION');
  if (duration) return { kind: 'duration', label, op, ns: duration.value };
  const bytes = accept(parser, 'BYTES');
  if (bytes) return { kind: 'bytes', label, op, bytes: bytes.value };
  if (!isAt(parser, 'NUMBER', '+', '-')) fail(parser);
  return { kind: 'number', label, op, value: readNumber(parser) };
}

/** `("10.0.0.0/8")`, behind `ip`. */
export function ipPattern(parser: Parser): string {
  expect(parser, '(');
  const pattern = expect(parser, 'STRING').text;
  expect(parser, ')');
  return pattern;
}

/** `="value"`, behind a label's name. */
export function matcherAfter(parser: Parser, label: string): Matcher {
  const op = expect(parser, '=', '=~', '!~', '!=').name as MatchOp;
  const matcher = { label, op, value: expect(parser, 'STRING').text };
  checkMatcher(matcher);
  return matcher;
}

export const isMatchOp = (parser: Parser): boolean => ['=', '=~', '!~', '!='].includes(peek(parser).name);
