import type { LineFilter, Matcher } from '../logql/ast.ts';
import { isPushable } from '../logql/plan.ts';
import type { FieldCondition } from '../logql/source.ts';
import { compileRe2 } from '../regexp/re2.ts';
import { sqlText } from '../sql/duckdb/engine.ts';
import { storedLabelSql } from './conditions.ts';

// Matchers, line filters and times as SQL over the columns of the logs table. DuckDB's regular expressions are RE2, as
// Loki's are.

/** Rows of these streams in this time; nanoseconds, from inclusive, to exclusive. */
export function streamCondition(matchers: readonly Matcher[], fromNs: bigint, toNs: bigint): string {
  return [timeCondition(fromNs, toNs), ...matchers.flatMap(matcherCondition)].join(' AND ');
}

export const timeCondition = (fromNs: bigint, toNs: bigint): string =>
  `timestamp_ns >= ${clamped(fromNs)} AND timestamp_ns < ${clamped(toNs)}`;

const int64Max = 2n ** 63n - 1n;
const clamped = (ns: bigint): bigint => (ns > int64Max ? int64Max : ns < -int64Max ? -int64Max : ns);

function matcherCondition({ label, op, value }: Matcher): string[] {
  const text = `coalesce(${storedLabelSql(label)}, '')`;
  if (op === '=') return [`${text} = ${sqlText(value)}`];
  if (op === '!=') return [`${text} <> ${sqlText(value)}`];
  const negated = op === '!~';
  if (value === '.*') return negated ? ['false'] : [];
  if (value === '.+') return [`${text} ${negated ? '=' : '<>'} ''`];
  compileRe2(value, true);
  return [`${negated ? 'NOT ' : ''}regexp_full_match(${text}, ${sqlText(value)}, 's')`];
}

/** The line filters that SQL can do exactly; the others are left to the pipeline. */
export function lineConditions(filters: readonly LineFilter[]): readonly string[] {
  return filters.filter(isPushable).map(({ op, alternatives }) => {
    const tests = alternatives.map(({ value }) => (op.endsWith('~') ? regexpTest(value) : textTest(value)));
    const matches = tests.length === 1 ? (tests[0] ?? 'true') : `(${tests.join(' OR ')})`;
    return op.startsWith('!') ? `NOT ${matches}` : matches;
  });
}

const textTest = (text: string): string => (text === '' ? 'true' : `contains(line, ${sqlText(text)})`);

function regexpTest(pattern: string): string {
  compileRe2(pattern);
  return `regexp_matches(line, ${sqlText(pattern)})`;
}

/**
 * A condition that leaves out JSON lines whose field surely is not what it has to be. It lets through whatever it is not
 * certain of: lines that are no JSON, fields that are not there once and plainly, and metadata of that name.
 */
export function fieldConditionSql({ field, op, value }: FieldCondition): string {
  const name = sqlText(`${field}"`);
  const once = `length(line) - length(replace(line, ${name}, '')) = ${field.length + 1}`;
  const plain = [' ', '\\'].map((end) => `NOT contains(line, ${sqlText(field + end)})`);
  const known = [
    `(attributes IS NULL OR NOT contains(attributes, ${name}))`,
    once,
    ...plain,
    'json_valid(line)',
  ];
  const pointer = sqlText(`/${field}`);
  const read = `json_extract_string(line, ${pointer})`;
  const type = `json_type(line, ${pointer})`;
  const otherwise =
    typeof value === 'number'
      ? `${type} IN ('UBIGINT', 'BIGINT', 'DOUBLE') AND NOT (TRY_CAST(${read} AS DOUBLE) ${op} ${numberSql(value)})`
      : `${type} = 'VARCHAR' AND NOT contains(line, '\ufffd') AND ${read} <> ${sqlText(value)}`;
  // One after another: what is no JSON must not be read as such.
  return `NOT coalesce(CASE WHEN ${known.join(' AND ')} THEN ${otherwise} ELSE false END, false)`;
}

const numberSql = (value: number): string => `'${value}'::DOUBLE`;
