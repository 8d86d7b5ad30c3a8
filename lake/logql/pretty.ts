import type { Binary, Expr, LogExpr, LogRange } from './ast.ts';
import { precedenceOf } from './parse.ts';
import {
  groupingText,
  numberText,
  operatorText,
  printExpr,
  printLog,
  selectorText,
  stageText,
  unwrapText,
} from './print.ts';
import { quoted, rangeText } from './units.ts';

/** Characters of a line that is not broken; as Loki's. */
const lineCharactersMax = 100;

/** A query over several lines, as /loki/api/v1/format_query answers it. */
export function formatExpr(expr: Expr, charactersMax = lineCharactersMax): string {
  return pretty(expr, 0, charactersMax);
}

const indent = (level: number): string => '  '.repeat(level);

function pretty(expr: Expr, level: number, max: number): string {
  const whole = printExpr(expr);
  if (whole.length <= max) return indent(level) + whole;
  const opening = indent(level);
  const block = (head: string, parts: readonly string[]): string =>
    `${opening}${head}(\n${parts.join(',\n')}\n${opening})`;
  switch (expr.kind) {
    case 'log':
      return prettyLog(expr, level, max);
    case 'number':
    case 'vector':
      return opening + whole;
    case 'label-replace': {
      const texts = [expr.target, expr.replacement, expr.source, expr.pattern].map(
        (text) => indent(level + 1) + quoted(text),
      );
      return block('label_replace', [pretty(expr.input, level + 1, max), ...texts]);
    }
    case 'range-aggregation': {
      const parameter = expr.parameter === undefined ? [] : [indent(level + 1) + numberText(expr.parameter)];
      const grouping = expr.grouping === undefined ? '' : ` ${groupingText(expr.grouping, ', ')}`;
      // Behind the range: before it, where Loki writes it, it could not be read again.
      return block(expr.op, [...parameter, prettyRange(expr.range, level + 1, max)]) + grouping;
    }
    case 'vector-aggregation': {
      const parameter = expr.parameter === undefined ? [] : [`${indent(level + 1)}${expr.parameter}`];
      const grouping = expr.grouping === undefined ? '' : ` ${groupingText(expr.grouping, ', ')}`;
      return block(expr.op + grouping, [...parameter, pretty(expr.input, level + 1, max)]);
    }
    case 'binary': {
      const left = prettyOperand(expr.left, needsParens(expr, expr.left, 'left'), level + 1, max);
      const right = prettyOperand(expr.right, needsParens(expr, expr.right, 'right'), level + 1, max);
      return `${left}\n${opening}${operatorText(expr, ', ')}\n${right}`;
    }
  }
}

/** Whether an operand on lines of its own would be read as another one. */
function needsParens({ op }: Binary, operand: Expr, side: 'left' | 'right'): boolean {
  if (operand.kind !== 'binary') return false;
  const [inner, outer] = [precedenceOf(operand.op), precedenceOf(op)];
  return inner < outer || (inner === outer && side === (op === '^' ? 'left' : 'right'));
}

function prettyOperand(expr: Expr, parens: boolean, level: number, max: number): string {
  if (!parens || printExpr(expr).length <= max) return pretty(expr, level, max);
  return `${indent(level)}(\n${pretty(expr, level + 1, max)}\n${indent(level)})`;
}

function prettyLog(expr: LogExpr, level: number, max: number): string {
  if (printLog(expr).length <= max) return indent(level) + printLog(expr);
  const stages = expr.stages.map((stage) => `\n${indent(level + 1)}${stageText(stage)}`);
  return indent(level) + selectorText(expr) + stages.join('');
}

function prettyRange(range: LogRange, level: number, max: number): string {
  const { log, unwrap, rangeNs, offsetNs } = range;
  const unwrapped = unwrap === undefined ? '' : `\n${indent(level + 1)}${unwrapText(unwrap)}`;
  return `${prettyLog(log, level, max)}${unwrapped} [${rangeText(rangeNs)}]${offsetNs === 0 ? '' : ` offset ${rangeText(offsetNs)}`}`;
}
