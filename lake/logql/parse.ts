import type {
  Binary,
  BinaryOp,
  Expr,
  Grouping,
  LogExpr,
  LogRange,
  Matcher,
  Matching,
  MetricExpr,
  RangeOp,
  Unwrap,
  VectorOp,
} from './ast.ts';
import {
  binaryOf,
  checkLabelReplace,
  checkRangeAggregation,
  checkSelectors,
  checkVectorAggregation,
} from './check.ts';
import { LogqlError, parseError } from './errors.ts';
import { queryCharactersMax } from './limits.ts';
import { parseLabelFilter } from './parse-filter.ts';
import { parseLog, parseSelectorBraces, parseStages } from './parse-log.ts';
import { numberOf, readNumber } from './parse-number.ts';
import { accept, expect, fail, isAt, list, nested, next, openParser, type Parser, peek } from './parser.ts';

/** The syntax tree of a query; throws LogqlError `parse` in Loki's words. */
export function parseExpr(query: string): Expr {
  const expr = parseWhole(query, (parser) => parseBinary(parser, 0));
  checkSelectors(expr);
  return expr;
}

/** A query of lines: a selector and its pipeline. */
export function parseLogExpr(query: string): LogExpr {
  const expr = parseExpr(query);
  if (expr.kind !== 'log') throw parseError('only log selector is supported');
  return expr;
}

/** A stream selector alone, which may also match everything. */
export function parseSelector(query: string): readonly Matcher[] {
  const expr = parseWhole(query, (parser) => parseBinary(parser, 0));
  if (expr.kind !== 'log' || expr.stages.length > 0)
    throw new LogqlError('parse', 'only label matchers are supported');
  return expr.matchers;
}

function parseWhole<T>(query: string, parse: (parser: Parser) => T): T {
  if (query.length > queryCharactersMax)
    throw new LogqlError(
      'parse',
      `parse error : input size too long (${query.length} > ${queryCharactersMax})`,
    );
  const parser = openParser(query);
  const result = parse(parser);
  if (!isAt(parser, '$end')) fail(parser);
  return result;
}

const precedences: Readonly<Record<string, number>> = {
  or: 1,
  ...{ and: 2, unless: 2 },
  ...{ '==': 3, '!=': 3, '>': 3, '>=': 3, '<': 3, '<=': 3 },
  ...{ '+': 4, '-': 4 },
  ...{ '*': 5, '/': 5, '%': 5 },
  '^': 6,
};

/** How strongly an operator binds; 0 for what is none. */
export const precedenceOf = (op: string): number =>
  Object.hasOwn(precedences, op) ? (precedences[op] ?? 0) : 0;

function parseBinary(parser: Parser, above: number): Expr {
  let left = parsePrimary(parser);
  for (;;) {
    const op = peek(parser).name;
    const precedence = precedenceOf(op);
    if (precedence <= above) return left;
    next(parser);
    const modifier = parseModifier(parser);
    // Of equal operators the left one comes first, but of powers.
    const right = nested(parser, () => parseBinary(parser, op === '^' ? precedence - 1 : precedence));
    left = binaryOf(op as BinaryOp, left, right, modifier);
  }
}

function parseModifier(parser: Parser): Pick<Binary, 'returnBool' | 'matching'> {
  const returnBool = accept(parser, 'bool') !== undefined;
  const clause = accept(parser, 'on', 'ignoring');
  if (clause === undefined) return { returnBool, matching: undefined };
  const labels = labelList(parser);
  const group = accept(parser, 'group_left', 'group_right')?.name;
  const include = group !== undefined && isAt(parser, '(') && isLabelList(parser) ? labelList(parser) : [];
  const many = group === undefined ? undefined : group === 'group_left' ? 'left' : 'right';
  const matching: Matching = { on: clause.name === 'on', labels, many, include };
  return { returnBool, matching };
}

/** Whether a parenthesis opens a list of labels, and not an expression. */
const isLabelList = (parser: Parser): boolean =>
  peek(parser, 1).name === ')' ||
  (peek(parser, 1).name === 'IDENTIFIER' && [',', ')'].includes(peek(parser, 2).name));

function labelList(parser: Parser): readonly string[] {
  expect(parser, '(');
  if (accept(parser, ')')) return [];
  if (!isAt(parser, 'IDENTIFIER')) fail(parser, 'IDENTIFIER', ')');
  const labels = list(parser, () => expect(parser, 'IDENTIFIER').text);
  if (!accept(parser, ')')) fail(parser, ',', ')');
  return labels;
}

function parsePrimary(parser: Parser): Expr {
  const { name } = peek(parser);
  if (name === '{') {
    const log = parseLog(parser);
    // Only ranges are unwrapped.
    if (isAt(parser, '|')) next(parser);
    return log;
  }
  if (name === '(') {
    next(parser);
    const expr = nested(parser, () => parseBinary(parser, 0));
    if (!accept(parser, ')')) fail(parser);
    return expr;
  }
  if (name === 'NUMBER') return { kind: 'number', value: readNumber(parser) };
  if (name === '+' || name === '-') {
    if (peek(parser, 1).name !== 'NUMBER') {
      next(parser);
      fail(parser, 'NUMBER');
    }
    return { kind: 'number', value: readNumber(parser) };
  }
  if (name === 'label_replace') return parseLabelReplace(parser);
  if (name === 'VECTOR') return parseVector(parser);
  if (rangeOps.has(name)) return parseRangeAggregation(parser);
  if (vectorOps.has(name)) return nested(parser, () => parseVectorAggregation(parser));
  return fail(parser);
}

function parseVector(parser: Parser): MetricExpr {
  next(parser);
  expect(parser, '(');
  const { text } = expect(parser, 'NUMBER');
  expect(parser, ')');
  return { kind: 'vector', value: numberOf(text, 'vector') };
}

function parseLabelReplace(parser: Parser): MetricExpr {
  next(parser);
  expect(parser, '(');
  const input = metric(parser, () => nested(parser, () => parseBinary(parser, 0)));
  const texts = [0, 1, 2, 3].map(() => {
    expect(parser, ',');
    return expect(parser, 'STRING').text;
  });
  expect(parser, ')');
  const [target = '', replacement = '', source = '', pattern = ''] = texts;
  const expr = { kind: 'label-replace', input, target, replacement, source, pattern } as const;
  checkLabelReplace(expr);
  return expr;
}

/** An expression that has to be of metrics; one of lines is what is not expected. */
function metric(parser: Parser, parse: () => Expr): MetricExpr {
  const expr = parse();
  if (expr.kind === 'log') return fail(parser);
  return expr;
}

const rangeOps = new Set(
  (
    'COUNT_OVER_TIME RATE RATE_COUNTER BYTES_OVER_TIME BYTES_RATE AVG_OVER_TIME SUM_OVER_TIME MIN_OVER_TIME ' +
    'MAX_OVER_TIME STDVAR_OVER_TIME STDDEV_OVER_TIME QUANTILE_OVER_TIME FIRST_OVER_TIME LAST_OVER_TIME ABSENT_OVER_TIME'
  ).split(' '),
);
const vectorOps = new Set(
  'SUM AVG MIN MAX COUNT STDDEV STDVAR TOPK BOTTOMK APPROX_TOPK SORT SORT_DESC'.split(' '),
);

function parseRangeAggregation(parser: Parser): MetricExpr {
  const op = next(parser).name.toLowerCase() as RangeOp;
  expect(parser, '(');
  if (!isAt(parser, 'NUMBER', '{', '(')) fail(parser, 'NUMBER', '{', '(');
  const parameter = isAt(parser, 'NUMBER') ? readNumber(parser) : undefined;
  if (parameter !== undefined) expect(parser, ',');
  const range = logRange(parser);
  expect(parser, ')');
  const grouping = isAt(parser, 'by', 'without') ? parseGrouping(parser) : undefined;
  const expr = { kind: 'range-aggregation', op, parameter, range, grouping } as const;
  checkRangeAggregation(expr);
  return expr;
}

type PartialRange = { -readonly [K in keyof LogRange]: LogRange[K] | undefined };

function logRange(parser: Parser): LogRange {
  const { log, unwrap, rangeNs, offsetNs } = rangePart(parser);
  if (log === undefined || rangeNs === undefined) return fail(parser);
  return { log, unwrap, rangeNs, offsetNs: offsetNs ?? 0 };
}

/** The range may stand behind the selector, the pipeline, the unwrap, or the parentheses around them. */
function rangePart(parser: Parser): PartialRange {
  if (accept(parser, '(')) {
    const part = nested(parser, () => rangePart(parser));
    if (!accept(parser, ')')) fail(parser);
    if (part.rangeNs === undefined) readRange(parser, part);
    part.unwrap ??= parseUnwrap(parser);
    return part;
  }
  const part: PartialRange = {
    ...{ log: undefined, unwrap: undefined, rangeNs: undefined, offsetNs: undefined },
  };
  if (!isAt(parser, '{')) fail(parser, '{', '(');
  const matchers = parseSelectorBraces(parser);
  let stages = parseStages(parser);
  part.unwrap = parseUnwrap(parser);
  if (isAt(parser, 'RANGE')) {
    readRange(parser, part);
    if (part.unwrap === undefined && stages.length === 0) {
      stages = parseStages(parser);
      part.unwrap = parseUnwrap(parser);
    }
  }
  part.log = { kind: 'log', matchers, stages };
  return part;
}

function readRange(parser: Parser, part: PartialRange): void {
  if (!isAt(parser, 'RANGE')) fail(parser);
  part.rangeNs = next(parser).value;
  if (accept(parser, 'offset')) part.offsetNs = expect(parser, 'DURATION').value;
}

function parseUnwrap(parser: Parser): Unwrap | undefined {
  if (!isAt(parser, '|') || peek(parser, 1).name !== 'unwrap') return undefined;
  parser.at += 2;
  const conversion = accept(parser, 'BYTES_CONV', 'DURATION_CONV', 'DURATION_SECONDS_CONV');
  if (conversion) expect(parser, '(');
  else if (!isAt(parser, 'IDENTIFIER'))
    fail(parser, 'IDENTIFIER', 'BYTES_CONV', 'DURATION_CONV', 'DURATION_SECONDS_CONV');
  const label = expect(parser, 'IDENTIFIER').text;
  if (conversion) expect(parser, ')');
  const filters = [];
  while (accept(parser, '|')) filters.push(parseLabelFilter(parser));
  if (!isAt(parser, 'RANGE', ')')) fail(parser, 'RANGE', '|');
  return { label, conversion: conversion?.text.toLowerCase() as Unwrap['conversion'], filters };
}

function parseGrouping(parser: Parser): Grouping {
  const without = next(parser).name === 'without';
  return { without, labels: labelList(parser) };
}

function parseVectorAggregation(parser: Parser): MetricExpr {
  const op = next(parser).name.toLowerCase() as VectorOp;
  const before = isAt(parser, 'by', 'without') ? parseGrouping(parser) : undefined;
  expect(parser, '(');
  let parameter: string | undefined;
  if (isAt(parser, 'NUMBER') && peek(parser, 1).name === ',') {
    parameter = next(parser).text;
    next(parser);
  }
  const input = metric(parser, () => parseBinary(parser, 0));
  if (!accept(parser, ')')) fail(parser);
  const grouping = before ?? (isAt(parser, 'by', 'without') ? parseGrouping(parser) : undefined);
  return checkVectorAggregation(op, parameter, input, grouping);
}
