import type {
  Binary,
  Expr,
  Extraction,
  Grouping,
  LabelChoice,
  LabelFilter,
  LineFilter,
  LogExpr,
  LogRange,
  Matcher,
  Matching,
  Stage,
  Unwrap,
} from './ast.ts';
import { bytesText, goDurationText, quoted, rangeText } from './units.ts';

/** A query as Loki prints it, on one line; it parses back to the same tree. */
export function printExpr(expr: Expr): string {
  switch (expr.kind) {
    case 'log':
      return printLog(expr);
    case 'number':
      return numberText(expr.value);
    case 'vector':
      return `vector(${expr.value.toFixed(6)})`;
    case 'label-replace': {
      const texts = [expr.target, expr.replacement, expr.source, expr.pattern].map(quoted);
      return `label_replace(${[printExpr(expr.input), ...texts].join(',')})`;
    }
    case 'range-aggregation': {
      const parameter = expr.parameter === undefined ? '' : `${numberText(expr.parameter)},`;
      const grouping = expr.grouping === undefined ? '' : ` ${groupingText(expr.grouping)}`;
      return `${expr.op}(${parameter}${printRange(expr.range)})${grouping}`;
    }
    case 'vector-aggregation': {
      const parameter = expr.parameter === undefined ? '' : `${expr.parameter},`;
      return `${expr.op}${groupingBefore(expr.grouping)}(${parameter}${printExpr(expr.input)})`;
    }
    case 'binary':
      return `(${printExpr(expr.left)} ${operatorText(expr)} ${printExpr(expr.right)})`;
  }
}

/** The shortest digits without an exponent, as far as there are such. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  return Object.is(value, -0) ? '-0' : String(value);
}

export const groupingText = ({ without, labels }: Grouping, comma = ','): string =>
  `${without ? 'without' : 'by'} (${labels.join(comma)})`;

const groupingBefore = (grouping: Grouping | undefined): string =>
  grouping === undefined ? '' : ` ${groupingText(grouping)}`;

/** The operator with its `bool` and its matching. */
export function operatorText({ op, returnBool, matching }: Binary, comma = ','): string {
  return [op, ...(returnBool ? ['bool'] : []), ...(matching ? [matchingText(matching, comma)] : [])].join(
    ' ',
  );
}

function matchingText({ on, labels, many, include }: Matching, comma: string): string {
  const clause = `${on ? 'on' : 'ignoring'} (${labels.join(comma)})`;
  if (many === undefined) return `${clause} `;
  return `${clause} group_${many}${include.length === 0 ? '' : ` (${include.join(comma)})`}`;
}

const matcherText = ({ label, op, value }: Matcher): string => `${label}${op}${quoted(value)}`;
export const selectorText = ({ matchers }: LogExpr): string => `{${matchers.map(matcherText).join(', ')}}`;

export function printLog(expr: LogExpr): string {
  return [selectorText(expr), ...expr.stages.map(stageText)].join(' ');
}

function printRange(range: LogRange): string {
  const { log, unwrap, rangeNs, offsetNs } = range;
  const parts = [printLog(log), ...(unwrap ? [unwrapText(unwrap)] : [])].join(' ');
  return `${parts}[${rangeText(rangeNs)}]${offsetText(offsetNs)}`;
}

const offsetText = (ns: number): string => (ns === 0 ? '' : ` offset ${goDurationText(ns)}`);

export function unwrapText({ label, conversion, filters }: Unwrap): string {
  const what = conversion === undefined ? label : `${conversion}(${label})`;
  return [`| unwrap ${what}`, ...filters.map((filter) => `| ${filterText(filter)}`)].join(' ');
}

export function stageText(stage: Stage): string {
  switch (stage.kind) {
    case 'line-filter':
      return lineFilterText(stage);
    case 'label-filter':
      return `| ${filterText(stage.filter)}`;
    case 'json':
      return ['| json', ...extractionsText(stage.expressions)].join(' ');
    case 'logfmt': {
      const flags = [...(stage.strict ? ['--strict'] : []), ...(stage.keepEmpty ? ['--keep-empty'] : [])];
      return ['| logfmt', ...flags, ...extractionsText(stage.expressions)].join(' ');
    }
    case 'regexp':
    case 'pattern':
      return `| ${stage.kind} ${quoted(stage.pattern)}`;
    case 'unpack':
    case 'decolorize':
      return `| ${stage.kind}`;
    case 'line-format':
      return `| line_format ${quoted(stage.template)}`;
    case 'label-format': {
      const formats = stage.formats.map(
        ({ label, from }) => `${label}=${from.kind === 'label' ? from.text : quoted(from.text)}`,
      );
      return `| label_format ${formats.join(',')}`;
    }
    case 'drop':
    case 'keep':
      return `| ${stage.kind} ${stage.labels.map(choiceText).join(',')}`;
  }
}

const choiceText = ({ label, matcher }: LabelChoice): string =>
  matcher === undefined ? label : matcherText(matcher);

function extractionsText(expressions: readonly Extraction[]): string[] {
  if (expressions.length === 0) return [];
  return [expressions.map(({ label, expression }) => `${label}=${quoted(expression)}`).join(',')];
}

/** Alternatives of a negated filter are filters of their own. */
function lineFilterText({ op, alternatives }: LineFilter): string {
  const texts = alternatives.map(({ kind, value }) =>
    kind === 'ip' ? `ip(${quoted(value)})` : quoted(value),
  );
  if (op.startsWith('!')) return texts.map((text) => `${op} ${text}`).join(' ');
  return `${op} ${texts.join(' or ')}`;
}

function filterText(filter: LabelFilter): string {
  switch (filter.kind) {
    case 'text':
      return matcherText(filter.matcher);
    case 'number':
      return `${filter.label}${filter.op}${numberText(filter.value)}`;
    case 'duration':
      return `${filter.label}${filter.op}${goDurationText(filter.ns)}`;
    case 'bytes':
      return `${filter.label}${filter.op}${bytesText(filter.bytes)}`;
    case 'ip':
      return `${filter.label}${filter.op}ip(${quoted(filter.pattern)})`;
    case 'and':
      return `( ${filterText(filter.left)} , ${filterText(filter.right)} )`;
    case 'or':
      return `( ${filterText(filter.left)} or ${filterText(filter.right)} )`;
  }
}
