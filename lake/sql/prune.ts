import type { Node, SelectStmt } from 'libpg-query';
import { type TableName, tableNames } from '../model/table-name.ts';
import type { Prune } from '../tables.ts';
import { as, call, castTo, namesOf, textOf, walk } from './ast.ts';
import { nowFunction } from './print/call.ts';
import { tableSchema } from './print/select.ts';

// What a statement's WHERE clauses say about the time and the names it can touch, so that files that can't match are
// not read. Only what is certain counts: conjuncts that compare a column with a constant, where there are several tables a
// column that names its own. Everything else restricts nothing.

/** Bounds of one table as expressions that DuckDB evaluates when the statement runs. */
export interface Bounds {
  /** The greatest of these is the lower bound; each is a timestamptz. Inclusive, like `upper`. */
  readonly lower: readonly Node[];
  readonly upper: readonly Node[];
  /** Exact values, each of one column. */
  readonly name: Node | undefined;
  readonly series: Node | undefined;
  readonly trace: Node | undefined;
}

/** For each table all of whose references are bounded: the bounds of each reference. */
export type TableBounds = ReadonlyMap<TableName, readonly Bounds[]>;

/** Expects a tree whose passes are done. */
export function boundsOf(root: Node): TableBounds {
  const found = new Map<TableName, Bounds[]>();
  const references = new Map<TableName, number>();
  walk(root, (node) => {
    const table = tableOf(node);
    if (table) references.set(table.name, (references.get(table.name) ?? 0) + 1);
  });
  const see = (select: SelectStmt): void => {
    const from = select.fromClause ?? [];
    const { tables, on } = joinedTables(from);
    const isAlone = from.length === 1 && from[0] !== undefined && tableOf(from[0]) !== undefined;
    const where = conjunctsOf(select.whereClause);
    for (const table of tables) {
      // `metrics AS m(a, b, ...)` gives the columns other names: a `timestamp` may be anything.
      if (table.renamed) continue;
      const conjuncts = [...where, ...on.filter((each) => each.tables.has(table)).map(({ node }) => node)];
      const bounds = boundsOfConjuncts(conjuncts, table.alias, isAlone);
      found.set(table.name, [...(found.get(table.name) ?? []), bounds]);
    }
  };
  // The sides of a set operation stand in the tree without their tag.
  walk(root, (node) => selectsOf(as(node, 'SelectStmt')).forEach(see));
  return new Map([...found].filter(([name, bounds]) => bounds.length === references.get(name)));
}

function selectsOf(select: SelectStmt | undefined): SelectStmt[] {
  if (!select) return [];
  return [select, ...selectsOf(select.larg), ...selectsOf(select.rarg)];
}

interface TableReference {
  readonly name: TableName;
  readonly alias: string;
  readonly renamed: boolean;
}

function tableOf(node: Node): TableReference | undefined {
  const table = as(node, 'RangeVar');
  const name =
    table?.schemaname === tableSchema ? tableNames.find((signal) => signal === table.relname) : undefined;
  return (
    name && { name, alias: table?.alias?.aliasname ?? name, renamed: table?.alias?.colnames !== undefined }
  );
}

/** What is in the FROM clause of one SELECT. */
interface JoinedTables {
  readonly tables: readonly TableReference[];
  /** Conjuncts of ON, and the tables that have no row in the answer for which they are not true. */
  readonly on: readonly { readonly node: Node; readonly tables: ReadonlySet<TableReference> }[];
}

/**
 * WHERE goes for all of them, whatever the join: a row that a join fills up with nulls does not pass a comparison. ON goes
 * for those sides whose rows a join leaves out.
 */
function joinedTables(from: readonly Node[]): JoinedTables {
  const parts = from.map((node): JoinedTables => {
    const table = tableOf(node);
    if (table) return { tables: [table], on: [] };
    const join = as(node, 'JoinExpr');
    if (!join?.larg || !join.rarg) return { tables: [], on: [] };
    const [left, right] = [joinedTables([join.larg]), joinedTables([join.rarg])];
    const sides = onSides[join.jointype ?? ''] ?? [];
    const restricted = new Set([
      ...(sides.includes('left') ? left.tables : []),
      ...(sides.includes('right') ? right.tables : []),
    ]);
    const own = conjunctsOf(join.quals).map((each) => ({ node: each, tables: restricted }));
    return { tables: [...left.tables, ...right.tables], on: [...left.on, ...right.on, ...own] };
  });
  return { tables: parts.flatMap(({ tables }) => tables), on: parts.flatMap(({ on }) => on) };
}

const onSides: Readonly<Record<string, readonly ('left' | 'right')[]>> = {
  JOIN_INNER: ['left', 'right'],
  JOIN_LEFT: ['right'],
  JOIN_RIGHT: ['left'],
};

function boundsOfConjuncts(conjuncts: readonly Node[], alias: string, isAlone: boolean): Bounds {
  const lower: Node[] = [];
  const upper: Node[] = [];
  const exact: Partial<Record<ExactColumn, Node>> = {};
  for (const conjunct of conjuncts) {
    const comparison = comparisonOf(conjunct, alias, isAlone);
    if (!comparison) continue;
    const { column, operator, values } = comparison;
    const [value, second] = values;
    if (!value) continue;
    if (column !== 'timestamp') {
      if (operator === '=') exact[column] = value;
    } else if (operator === 'BETWEEN' && second) {
      lower.push(value);
      upper.push(second);
    } else {
      if (operator === '>' || operator === '>=' || operator === '=') lower.push(value);
      if (operator === '<' || operator === '<=' || operator === '=') upper.push(value);
    }
  }
  return { lower, upper, name: exact.name, series: exact.series, trace: exact.trace };
}

function conjunctsOf(node: Node | undefined): Node[] {
  const and = as(node, 'BoolExpr');
  if (and?.boolop === 'AND_EXPR') return (and.args ?? []).flatMap(conjunctsOf);
  return node ? [node] : [];
}

/** Columns of which one value prunes. */
type ExactColumn = 'name' | 'series' | 'trace';

interface Comparison {
  readonly column: 'timestamp' | ExactColumn;
  readonly operator: string;
  readonly values: readonly Node[];
}

const mirrored: Readonly<Record<string, string>> = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '=': '=' };

function comparisonOf(node: Node, alias: string, isAlone: boolean): Comparison | undefined {
  const expression = as(node, 'A_Expr');
  if (!expression?.lexpr || !expression.rexpr) return undefined;
  const { lexpr, rexpr, kind } = expression;
  const operator = namesOf(expression.name).at(-1) ?? '';
  if (kind === 'AEXPR_BETWEEN') {
    const column = columnOf(lexpr, alias, isAlone);
    const values = as(rexpr, 'List')?.items ?? [];
    return column === 'timestamp' && values.every(isConstant)
      ? { column, operator: 'BETWEEN', values }
      : undefined;
  }
  if (kind !== 'AEXPR_OP' || mirrored[operator] === undefined) return undefined;
  const left = columnOf(lexpr, alias, isAlone);
  if (left) return isBound(left, rexpr) ? { column: left, operator, values: [rexpr] } : undefined;
  const right = columnOf(rexpr, alias, isAlone);
  return right && isBound(right, lexpr)
    ? { column: right, operator: mirrored[operator] ?? '', values: [lexpr] }
    : undefined;
}

const columns: Readonly<Record<string, Comparison['column']>> = {
  timestamp: 'timestamp',
  time: 'timestamp',
  name: 'name',
  __name__: 'name',
  series_id: 'series',
  stream_id: 'series',
  trace_id: 'trace',
};

function columnOf(node: Node, alias: string, isAlone: boolean): Comparison['column'] | undefined {
  const names = namesOf(as(node, 'ColumnRef')?.fields);
  const qualified = names.length === 2 && names[0] === alias;
  return (names.length === 1 && isAlone) || qualified ? columns[names.at(-1) ?? ''] : undefined;
}

/** Text is compared as text only with text: DuckDB casts it when it is compared with a number. */
const isBound = (column: Comparison['column'], value: Node): boolean =>
  column === 'name' || column === 'trace'
    ? textOf(value) !== undefined || as(value, 'ParamRef') !== undefined
    : isConstant(value);

/** Depends on nothing but the statement: constants, parameters, now(), casts of them, sums and differences. */
function isConstant(node: Node): boolean {
  if (as(node, 'A_Const') || as(node, 'ParamRef')) return true;
  const cast = as(node, 'TypeCast');
  if (cast?.arg) return isConstant(cast.arg);
  const sum = as(node, 'A_Expr');
  if (sum?.kind === 'AEXPR_OP' && sum.lexpr && sum.rexpr) {
    const operator = namesOf(sum.name).at(-1);
    return (operator === '+' || operator === '-') && isConstant(sum.lexpr) && isConstant(sum.rexpr);
  }
  const called = as(node, 'FuncCall');
  const name = namesOf(called?.funcname).join('.');
  return name === nowFunction || (constantFunctions.test(name) && (called?.args ?? []).every(isConstant));
}

/** What DuckDB makes of `INTERVAL 1 hour`. */
const constantFunctions =
  /^(to_(years|months|weeks|days|hours|minutes|seconds|milliseconds|microseconds)|trunc)$/;

/** A SELECT of all bounds of one table, flat: microseconds for times, text for names; and how to read its row. */
export function boundsQuery(
  bounds: readonly Bounds[],
): { readonly select: Node; readonly read: (row: readonly unknown[]) => Prune } | undefined {
  const targets: Node[] = [];
  const add = (val: Node): number => targets.push({ ResTarget: { val, location: -1 } }) - 1;
  const time = (node: Node): number => add(castTo(call('epoch_us', [castTo(node, 'timestamptz')]), 'int8'));
  const places = bounds.map(({ lower, upper, name, series, trace }) => ({
    lower: lower.map(time),
    upper: upper.map(time),
    name: name && add(castTo(name, 'text')),
    series: series && add(castTo(series, 'int8')),
    trace: trace && add(castTo(trace, 'text')),
  }));
  if (targets.length === 0) return undefined;
  return {
    select: {
      SelectStmt: { targetList: targets, limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' },
    } as Node,
    read: (row) => {
      const number = (place: number): number =>
        typeof row[place] === 'bigint' ? Number(row[place]) : Number.NaN;
      const prunes = places.map((place) => ({
        fromUs: Math.max(Number.NEGATIVE_INFINITY, ...place.lower.map(number)),
        toUs: Math.min(Number.POSITIVE_INFINITY, ...place.upper.map(number)),
        name: valueAt(row, place.name),
        seriesId: valueAt(row, place.series),
        traceId: valueAt(row, place.trace),
      }));
      return hull(prunes);
    },
  };
}

const valueAt = (row: readonly unknown[], place: number | undefined): unknown =>
  place === undefined ? undefined : row[place];

interface ReferenceBounds extends Record<'name' | 'seriesId' | 'traceId', unknown> {
  readonly fromUs: number;
  readonly toUs: number;
}

/** What holds for every reference. A bound that is not a number (NULL, infinity) restricts nothing. */
function hull(prunes: readonly ReferenceBounds[]): Prune {
  const fromUs = Math.min(...prunes.map((prune) => prune.fromUs));
  const toUs = Math.max(...prunes.map((prune) => prune.toUs));
  const common = (field: 'name' | 'seriesId' | 'traceId'): unknown => {
    const [first, ...others] = prunes.map((prune) => prune[field]);
    return others.every((value) => value === first) ? first : undefined;
  };
  const [name, seriesId, traceId] = [common('name'), common('seriesId'), common('traceId')];
  return {
    ...(Number.isFinite(fromUs) && { fromUs }),
    ...(Number.isFinite(toUs) && { toUs }),
    ...(typeof name === 'string' && { name }),
    ...(typeof seriesId === 'bigint' && { seriesId }),
    ...(typeof traceId === 'string' && { traceId }),
  };
}
