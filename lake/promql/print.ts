import {
  type Aggregation,
  type Binary,
  type Duration,
  type Expr,
  type Matching,
  parameterOps,
  type Shift,
  type VectorSelector,
} from './ast.ts';
import { printDurationMs, printFloat, printString } from './literals.ts';

/** The canonical text of an expression, on one line; parsing it gives the same tree. */
export function printExpr(expr: Expr): string {
  switch (expr.kind) {
    case 'number':
      return expr.duration ? printDurationMs(expr.value * 1000) : printFloat(expr.value);
    case 'string':
      return printString(expr.value);
    case 'vector':
      return `${printSelector(expr)}${printAt(expr.shift)}${printExtension(expr)}${printOffset(expr.shift)}`;
    case 'range': {
      const { selector } = expr;
      const range = `[${printDuration(expr.range)}]${printExtension(selector)}`;
      return `${printSelector(selector)}${range}${printAt(selector.shift)}${printOffset(selector.shift)}`;
    }
    case 'subquery':
      return `${printExpr(expr.input)}${printSubquerySuffix(expr)}`;
    case 'call':
      return `${expr.name}(${expr.args.map(printExpr).join(', ')})`;
    case 'aggregation':
      return `${printAggregationHead(expr)}(${aggregationArgs(expr).map(printExpr).join(', ')})`;
    case 'binary':
      return `${printExpr(expr.left)} ${printOperator(expr)} ${printExpr(expr.right)}`;
    case 'unary':
      return `${expr.op}${printExpr(expr.input)}`;
    case 'paren':
      return `(${printExpr(expr.input)})`;
  }
}

/** Characters of a line that is not broken up. */
const defaultLineCharactersMax = 100;

/** The text of an expression for people: what is longer than a line is broken up and indented. */
export function formatExpr(expr: Expr, lineCharactersMax = defaultLineCharactersMax): string {
  return formatAt(expr, 0, lineCharactersMax);
}

function formatAt(expr: Expr, level: number, lineMax: number): string {
  const indent = '  '.repeat(level);
  const line = printExpr(expr);
  const inner = (child: Expr): string => formatAt(child, level + 1, lineMax);
  if (expr.kind === 'unary') return `${indent}${expr.op}${formatAt(expr.input, level, lineMax).trim()}`;
  if (line.length <= lineMax) return expr.kind === 'subquery' ? line : `${indent}${line}`;
  switch (expr.kind) {
    case 'number':
    case 'string':
    case 'vector':
    case 'range':
      return `${indent}${line}`;
    case 'subquery':
      return `${formatAt(expr.input, level, lineMax)}${printSubquerySuffix(expr)}`;
    case 'call':
      return `${indent}${expr.name}(\n${expr.args.map(inner).join(',\n')}\n${indent})`;
    case 'aggregation':
      return `${indent}${printAggregationHead(expr)}(\n${aggregationArgs(expr).map(inner).join(',\n')}\n${indent})`;
    case 'binary':
      return `${inner(expr.left)}\n${indent}${printOperator(expr)}\n${inner(expr.right)}`;
    case 'paren':
      return `${indent}(\n${inner(expr.input)}\n${indent})`;
  }
}

function printSelector({ name, matchers }: VectorSelector): string {
  if (matchers.length === 0) return name === '' ? '{}' : name;
  const texts = matchers.map(({ label, op, value }) => `${printLabel(label)}${op}${printString(value)}`);
  return `${name}{${texts.sort().join(',')}}`;
}

function printLabel(name: string): string {
  return /^[a-zA-Z_]\w*$/.test(name) ? name : printString(name);
}

const printLabels = (names: readonly string[]): string => names.map(printLabel).join(', ');

const printExtension = ({ extension }: VectorSelector): string => (extension ? ` ${extension}` : '');

function printAt({ at }: Shift): string {
  switch (at?.kind) {
    case 'time':
      return ` @ ${(at.timestampMs / 1000).toFixed(3)}`;
    case 'start':
    case 'end':
      return ` @ ${at.kind}()`;
    case undefined:
      return '';
  }
}

function printOffset({ offset }: Shift): string {
  if (offset === undefined || (offset.kind === 'seconds' && offset.value === 0)) return '';
  return ` offset ${printDuration(offset)}`;
}

function printSubquerySuffix({ range, step, shift }: Expr & { kind: 'subquery' }): string {
  const resolution = step ? printDuration(step) : '';
  return `[${printDuration(range)}:${resolution}]${printAt(shift)}${printOffset(shift)}`;
}

/** A duration in its place: a plain one always with units. */
function printDuration(duration: Duration): string {
  return duration.kind === 'seconds' ? printDurationMs(duration.value * 1000) : printDurationTerm(duration);
}

function printDurationTerm(duration: Duration): string {
  switch (duration.kind) {
    case 'seconds':
      return duration.duration ? printDurationMs(duration.value * 1000) : printFloat(duration.value);
    case 'step':
    case 'range':
      return `${duration.kind}()`;
    case 'min_of':
    case 'max_of':
      return `${duration.kind}(${printDurationTerm(duration.left)}, ${printDurationTerm(duration.right)})`;
    case 'negative':
      return `-${printDurationTerm(duration.input)}`;
    case 'group':
      return `(${printDurationTerm(duration.input)})`;
    case 'arithmetic':
      return `${printDurationTerm(duration.left)} ${duration.op} ${printDurationTerm(duration.right)}`;
  }
}

function printAggregationHead({ op, without, grouping }: Aggregation): string {
  if (without) return `${op} without (${printLabels(grouping)}) `;
  return grouping.length > 0 ? `${op} by (${printLabels(grouping)}) ` : op;
}

const aggregationArgs = ({ op, parameter, input }: Aggregation): readonly Expr[] =>
  parameter && parameterOps.has(op) ? [parameter, input] : [input];

function printOperator({ op, returnBool, matching }: Binary): string {
  return `${op}${returnBool ? ' bool' : ''}${printMatching(matching)}`;
}

function printMatching({ on, labels, group, include, fillLeft, fillRight }: Matching): string {
  let text = '';
  if (on || labels.length > 0 || group) text += ` ${on ? 'on' : 'ignoring'} (${printLabels(labels)})`;
  if (group) text += ` group_${group} (${printLabels(include)})`;
  if (fillLeft !== undefined && fillLeft === fillRight) return `${text} fill (${printFloat(fillLeft)})`;
  if (fillLeft !== undefined) text += ` fill_left (${printFloat(fillLeft)})`;
  if (fillRight !== undefined) text += ` fill_right (${printFloat(fillRight)})`;
  return text;
}
