import type {
  Extraction,
  LabelChoice,
  LabelFormat,
  LineAlternative,
  LineFilter,
  LineFilterOp,
  LogExpr,
  Matcher,
  Stage,
} from './ast.ts';
import { checkStage } from './check.ts';
import { ipPattern, isMatchOp, matcherAfter, parseLabelFilter } from './parse-filter.ts';
import { accept, expect, fail, isAt, list, next, type Parser, peek } from './parser.ts';

/** `{app="x", level=~"a|b"}`. */
export function parseSelectorBraces(parser: Parser): readonly Matcher[] {
  expect(parser, '{');
  if (accept(parser, '}')) return [];
  if (!isAt(parser, 'IDENTIFIER')) fail(parser, 'IDENTIFIER', '}');
  const matchers = list(parser, () => matcherAfter(parser, expect(parser, 'IDENTIFIER').text));
  expect(parser, '}', ',');
  return matchers;
}

/** A selector and its pipeline; an unwrap and a range are left to the caller. */
export function parseLog(parser: Parser): LogExpr {
  const matchers = parseSelectorBraces(parser);
  return { kind: 'log', matchers, stages: parseStages(parser) };
}

const lineOps = ['|=', '|~', '|>', '!=', '!~', '!>'];

/** All stages from here on, up to what is none. */
export function parseStages(parser: Parser): readonly Stage[] {
  const stages: Stage[] = [];
  for (;;) {
    if (isAt(parser, ...lineOps)) stages.push(parseLineFilter(parser));
    else if (isAt(parser, '|') && peek(parser, 1).name !== 'unwrap') {
      next(parser);
      stages.push(checked(parseStage(parser)));
    } else return stages;
  }
}

function checked(stage: Stage): Stage {
  checkStage(stage);
  return stage;
}

function parseLineFilter(parser: Parser): Stage {
  const op = next(parser).name as LineFilterOp;
  const alternatives: LineAlternative[] = [];
  do {
    if (accept(parser, 'ip')) alternatives.push({ kind: 'ip', value: ipPattern(parser) });
    else alternatives.push({ kind: 'text', value: expect(parser, 'STRING', 'ip').text });
  } while (accept(parser, 'or'));
  const filter: LineFilter = { kind: 'line-filter', op, alternatives };
  checkStage(filter);
  return filter;
}

function parseStage(parser: Parser): Stage {
  switch (peek(parser).name) {
    case 'json':
      next(parser);
      return { kind: 'json', expressions: extractions(parser) };
    case 'logfmt': {
      next(parser);
      const flags: string[] = [];
      while (isAt(parser, 'FUNCTION_FLAG')) flags.push(next(parser).text);
      const strict = flags.includes('--strict');
      const keepEmpty = flags.includes('--keep-empty');
      return { kind: 'logfmt', strict, keepEmpty, expressions: extractions(parser) };
    }
    case 'regexp':
    case 'pattern': {
      const kind = next(parser).name as 'regexp' | 'pattern';
      return { kind, pattern: expect(parser, 'STRING').text };
    }
    case 'unpack':
    case 'decolorize':
      return { kind: next(parser).name as 'unpack' | 'decolorize' };
    case 'line_format':
      next(parser);
      return { kind: 'line-format', template: expect(parser, 'STRING').text };
    case 'label_format':
      next(parser);
      return { kind: 'label-format', formats: list(parser, () => labelFormat(parser)) };
    case 'drop':
    case 'keep':
      return {
        kind: next(parser).name as 'drop' | 'keep',
        labels: list(parser, () => labelChoice(parser)),
      };
    case 'IDENTIFIER':
    case '(':
      return { kind: 'label-filter', filter: parseLabelFilter(parser) };
    default:
      return fail(parser);
  }
}

/** Labels to extract, each with the expression that finds its value: by itself it is its own. */
function extractions(parser: Parser): readonly Extraction[] {
  if (!isAt(parser, 'IDENTIFIER')) return [];
  return list(parser, () => {
    const label = expect(parser, 'IDENTIFIER').text;
    return { label, expression: accept(parser, '=') ? expect(parser, 'STRING').text : label };
  });
}

function labelFormat(parser: Parser): LabelFormat {
  const label = expect(parser, 'IDENTIFIER').text;
  expect(parser, '=');
  const { name, text } = expect(parser, 'IDENTIFIER', 'STRING');
  return { label, from: { kind: name === 'STRING' ? 'template' : 'label', text } };
}

function labelChoice(parser: Parser): LabelChoice {
  const label = expect(parser, 'IDENTIFIER').text;
  return { label, matcher: isMatchOp(parser) ? matcherAfter(parser, label) : undefined };
}
