import type { Node } from 'libpg-query';
import { as, type Fields, namesOf, tagOf } from '../ast.ts';
import { notSupported, SqlError } from '../errors.ts';
import { functionCall } from './call.ts';
import type { Printer } from './printer.ts';
import { printType } from './types.ts';

/** A SQL identifier, always quoted. */
export const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`;
/** A SQL string literal. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;

/**
 * Prints any expression for DuckDB. Everything that has an operator is put in parentheses, so that no precedence of
 * DuckDB's matters: its `->>` binds more loosely than `=`, PostgreSQL's more tightly.
 */
export function printExpression(p: Printer, node: Node | undefined): void {
  if (node === undefined) throw notSupported('an empty expression');
  const print = printers[tagOf(node)];
  if (!print) {
    const { location } = Object.values(node)[0] as { location?: number };
    throw notSupported(describe(tagOf(node)), p.positionOf(location));
  }
  print(p, node);
}

/** `XmlExpr` -> `XML expression`: what the message says of a construct that there is no printer for. */
function describe(tag: string): string {
  return tag.replace(/([a-z])([A-Z])/g, '$1 $2').replace(/\bExpr\b/, 'expression');
}

const printer =
  <K extends string>(tag: K, print: (p: Printer, fields: Fields<K>) => void) =>
  (p: Printer, node: Node): void => {
    const fields = as(node, tag);
    if (fields !== undefined) print(p, fields);
  };

const printers: Readonly<Record<string, (p: Printer, node: Node) => void>> = {
  ColumnRef: printer('ColumnRef', columnRef),
  A_Const: printer('A_Const', constant),
  ParamRef: printer('ParamRef', (p, { number = 0 }) => p.parameter(number)),
  A_Expr: printer('A_Expr', operator),
  BoolExpr: printer('BoolExpr', (p, { boolop, args = [], location }) => {
    p.mark(location);
    if (boolop === 'NOT_EXPR') p.wrap('(NOT ', args[0], ')');
    else p.list('(', args, boolop === 'AND_EXPR' ? ' AND ' : ' OR ', ')');
  }),
  NullTest: printer('NullTest', (p, { arg, nulltesttype }) =>
    p.wrap('(', arg, nulltesttype === 'IS_NULL' ? ' IS NULL)' : ' IS NOT NULL)'),
  ),
  BooleanTest: printer('BooleanTest', (p, { arg, booltesttype = 'IS_TRUE' }) =>
    p.wrap('(', arg, ` ${booltesttype.replaceAll('_', ' ').replace('UNKNOWN', 'NULL')})`),
  ),
  TypeCast: printer('TypeCast', (p, { arg, typeName, location }) => {
    const { type, lengthMax } = printType(typeName, p.positionOf);
    p.mark(location);
    p.wrap(lengthMax === undefined ? 'CAST(' : 'left(CAST(', arg, ` AS ${type})`);
    if (lengthMax !== undefined) p.text(`, ${lengthMax})`);
  }),
  FuncCall: printer('FuncCall', functionCall),
  NamedArgExpr: printer('NamedArgExpr', (p, { name = '', arg }) =>
    p.wrap(`${identifier(name)} := `, arg, ''),
  ),
  CaseExpr: printer('CaseExpr', caseWhen),
  CoalesceExpr: printer('CoalesceExpr', (p, { args = [] }) => p.list('COALESCE(', args, ', ', ')')),
  MinMaxExpr: printer('MinMaxExpr', (p, { op, args = [] }) =>
    p.list(op === 'IS_LEAST' ? 'least(' : 'greatest(', args, ', ', ')'),
  ),
  A_ArrayExpr: printer('A_ArrayExpr', (p, { elements = [] }) => p.list('[', elements, ', ', ']')),
  RowExpr: printer('RowExpr', (p, { args = [] }) => p.list('ROW(', args, ', ', ')')),
  A_Indirection: printer('A_Indirection', indirection),
  CollateClause: printer('CollateClause', (p, { arg, collname, location }) => {
    const name = namesOf(collname).at(-1) ?? '';
    if (!['default', 'C', 'POSIX', 'ucs_basic'].includes(name)) {
      throw new SqlError('42704', `collation "${name}" does not exist`, { position: p.positionOf(location) });
    }
    p.expression(arg); // Firn compares text by bytes, which is what these collations do or may do.
  }),
  SubLink: printer('SubLink', subLink),
  GroupingFunc: printer('GroupingFunc', (p, { args = [] }) => p.list('GROUPING(', args, ', ', ')')),
};

function columnRef(p: Printer, { fields = [], location }: Fields<'ColumnRef'>): void {
  const names = namesOf(fields);
  // Tables are known by their own name or alias only, so `public.metrics.value` is `metrics.value`.
  const start = names.length > 2 && /^(public|pg_catalog|information_schema)$/.test(names[0] ?? '') ? 1 : 0;
  p.mark(location);
  p.text(
    names
      .slice(start)
      .map((name) => (name === '*' ? '*' : identifier(name)))
      .join('.'),
  );
}

function constant(p: Printer, value: Fields<'A_Const'>): void {
  p.mark(value.location);
  if (value.isnull) p.text('NULL');
  else if (value.ival) p.text(String(value.ival.ival ?? 0));
  else if (value.fval) p.text(value.fval.fval ?? '0');
  else if (value.boolval) p.text(value.boolval.boolval ? 'true' : 'false');
  else if (value.sval) p.text(literal(value.sval.sval ?? ''));
  else if (value.bsval) p.text(bitString(value.bsval.bsval ?? ''));
}

/** `b101` or `xff`, as the parser gives bit strings. */
function bitString(value: string): string {
  const hex = value.startsWith('x');
  const bits = [...value.slice(1)].map((digit) =>
    hex ? Number.parseInt(digit, 16).toString(2).padStart(4, '0') : digit,
  );
  return `CAST(${literal(bits.join(''))} AS BIT)`;
}

function operator(p: Printer, { kind, name, lexpr, rexpr, location }: Fields<'A_Expr'>): void {
  const names = namesOf(name);
  const symbol = names.at(-1) ?? '';
  const items = as(rexpr, 'List')?.items ?? [];
  const infix = (word: string): void => {
    p.text('(');
    p.expression(lexpr);
    p.text(' ');
    p.mark(location);
    p.text(word);
    p.text(' ');
    p.expression(rexpr);
    p.text(')');
  };
  if (names.length > 1 && names[0] !== 'pg_catalog') {
    throw new SqlError('42883', `operator does not exist: ${names.join('.')}`, {
      position: p.positionOf(location),
    });
  }
  switch (kind) {
    case 'AEXPR_OP':
      if (lexpr) infix(symbol);
      else {
        p.mark(location);
        p.wrap(`(${symbol} `, rexpr, ')');
      }
      break;
    case 'AEXPR_OP_ANY':
      p.around(['(', lexpr, ` ${symbol} ANY(`, rexpr, '))']);
      break;
    case 'AEXPR_OP_ALL':
      p.around(['(', lexpr, ` ${symbol} ALL(`, rexpr, '))']);
      break;
    case 'AEXPR_DISTINCT':
      infix('IS DISTINCT FROM');
      break;
    case 'AEXPR_NOT_DISTINCT':
      infix('IS NOT DISTINCT FROM');
      break;
    case 'AEXPR_NULLIF':
      p.around(['NULLIF(', lexpr, ', ', rexpr, ')']);
      break;
    case 'AEXPR_IN':
      p.around(['(', lexpr, symbol === '<>' ? ' NOT IN ' : ' IN ']);
      p.list('(', items, ', ', '))');
      break;
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE':
      like(p, kind === 'AEXPR_LIKE' ? 'LIKE' : 'ILIKE', symbol.startsWith('!'), lexpr, rexpr);
      break;
    case 'AEXPR_BETWEEN':
    case 'AEXPR_NOT_BETWEEN':
    case 'AEXPR_BETWEEN_SYM':
    case 'AEXPR_NOT_BETWEEN_SYM':
      between(p, kind, lexpr, items);
      break;
    default:
      throw notSupported(
        'SIMILAR TO with a pattern that is not constant',
        p.positionOf(location),
        'use a regular expression with the operator ~',
      );
  }
}

function between(p: Printer, kind: string, value: Node | undefined, items: readonly Node[]): void {
  const [low, high] = items;
  p.around(['(', value, kind.includes('NOT') ? ' NOT BETWEEN ' : ' BETWEEN ']);
  if (kind.endsWith('SYM')) p.around(['least(', low, ', ', high, ') AND greatest(', low, ', ', high, '))']);
  else p.around([low, ' AND ', high, ')']);
}

/** PostgreSQL's LIKE has backslash as its escape character, DuckDB's has none unless it is named. */
function like(p: Printer, word: string, not: boolean, left: Node | undefined, right: Node | undefined): void {
  const escaped = as(right, 'FuncCall');
  const [pattern, escapeBy] =
    namesOf(escaped?.funcname).at(-1) === 'like_escape' ? (escaped?.args ?? []) : [right];
  p.around(['(', left, not ? ` NOT ${word} ` : ` ${word} `, pattern, ' ESCAPE ']);
  if (escapeBy) p.expression(escapeBy);
  else p.text(literal('\\'));
  p.text(')');
}

function caseWhen(p: Printer, { arg, args = [], defresult }: Fields<'CaseExpr'>): void {
  p.text('CASE');
  if (arg) p.wrap(' ', arg, '');
  for (const node of args) {
    const when = as(node, 'CaseWhen');
    p.around([' WHEN ', when?.expr, ' THEN ', when?.result]);
  }
  if (defresult) p.wrap(' ELSE ', defresult, '');
  p.text(' END');
}

function indirection(p: Printer, { arg, indirection: steps = [] }: Fields<'A_Indirection'>): void {
  p.wrap('(', arg, ')');
  for (const step of steps) {
    const index = as(step, 'A_Indices');
    const field = as(step, 'String');
    if (index?.is_slice) {
      p.text('[');
      if (index.lidx) p.expression(index.lidx);
      p.text(':');
      if (index.uidx) p.expression(index.uidx);
      p.text(']');
    } else if (index) p.wrap('[', index.uidx, ']');
    else if (field) p.text(`.${identifier(field.sval ?? '')}`);
    else throw notSupported('(row).*');
  }
}

function subLink(p: Printer, link: Fields<'SubLink'>): void {
  const symbol = namesOf(link.operName).at(-1) ?? '=';
  switch (link.subLinkType) {
    case 'EXISTS_SUBLINK':
      p.text('EXISTS ');
      break;
    case 'ARRAY_SUBLINK':
      p.text('ARRAY ');
      break;
    case 'ANY_SUBLINK':
      p.around(['(', link.testexpr, link.operName ? ` ${symbol} ANY ` : ' IN ']);
      break;
    case 'ALL_SUBLINK':
      p.around(['(', link.testexpr, ` ${symbol} ALL `]);
      break;
    case 'EXPR_SUBLINK':
      break;
    default:
      throw notSupported('this kind of subquery', p.positionOf(link.location));
  }
  p.text('(');
  p.select(as(link.subselect, 'SelectStmt'));
  p.text(link.subLinkType === 'ANY_SUBLINK' || link.subLinkType === 'ALL_SUBLINK' ? '))' : ')');
}
