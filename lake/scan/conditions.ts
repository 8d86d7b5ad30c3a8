import type { Matcher } from '../promql/ast.ts';
import { compileRegexp } from '../promql/regexp.ts';
import { sqlText } from '../sql/duckdb/engine.ts';

// Matchers and times as SQL over the columns of the metrics table. DuckDB evaluates a condition on `labels` once per
// dictionary entry, not once per row.

/** What a scan asks of the metrics table; times in milliseconds, both inclusive, absent when they do not restrict. */
export interface RowFilter {
  readonly matchers: readonly Matcher[];
  readonly fromMs?: number;
  readonly toMs?: number;
}

/** A WHERE clause's condition. Throws an Error worded like Prometheus for a regular expression that is none. */
export function rowCondition(filter: RowFilter): string {
  return [nameAndTimeCondition(filter), ...labelConditions(filter.matchers)].join(' AND ');
}

/** What the other labels must be: conditions on the column `labels` alone. */
export const labelConditions = (matchers: readonly Matcher[]): readonly string[] =>
  matchers.filter(({ label }) => label !== '__name__').flatMap(matcherCondition);

/** What must hold of a series, of which the columns `name` and `labels` are there. */
export const seriesCondition = ({ matchers }: Pick<RowFilter, 'matchers'>): string =>
  ['true', ...matchers.flatMap(matcherCondition)].join(' AND ');

/** The conditions that columns with statistics answer. */
export function nameAndTimeCondition({ matchers, fromMs, toMs }: RowFilter): string {
  const names = matchers.filter(({ label }) => label === '__name__');
  const conditions = ['value IS NOT NULL', ...names.flatMap(matcherCondition)];
  if (fromMs !== undefined) conditions.push(`timestamp >= ${timestampSql(fromMs)}`);
  // Samples are stored in microseconds and seen in milliseconds: all of the last millisecond is in.
  if (toMs !== undefined) conditions.push(`timestamp < ${timestampSql(toMs + 1)}`);
  return conditions.join(' AND ');
}

const yearOneMs = -62_135_596_800_000;
const yearLastMs = 253_402_300_799_999;

/** A time as SQL; beyond the years 1 to 9999 there are no samples, so times are cut to those. */
export function timestampSql(ms: number): string {
  return `make_timestamptz(${Math.max(yearOneMs, Math.min(yearLastMs, Math.floor(ms)))}000)`;
}

function matcherCondition(matcher: Matcher): string[] {
  const { op, value } = matcher;
  const text = labelSql(matcher.label);
  switch (op) {
    case '=':
      return [`${text} = ${sqlText(value)}`];
    case '!=':
      return [`${text} <> ${sqlText(value)}`];
    case '=~':
    case '!~': {
      const negated = op === '!~';
      if (value === '.*') return negated ? ['false'] : [];
      if (value === '.+') return [`${text} ${negated ? '=' : '<>'} ''`];
      const words = alternatives(value);
      if (words) return [`${text} ${negated ? 'NOT IN' : 'IN'} (${words.map(sqlText).join(', ')})`];
      // DuckDB's regular expressions are RE2, as Prometheus' are; this one only has to find the error in its words.
      compileRegexp(value);
      return [`${negated ? 'NOT ' : ''}regexp_full_match(${text}, ${sqlText(value)}, 's')`];
    }
  }
}

/** The words of `a|b|c`, when the expression is no more than that. */
function alternatives(pattern: string): readonly string[] | undefined {
  return /^[\w :/@,;=%&#~"'<>!-]+(?:\|[\w :/@,;=%&#~"'<>!-]+)*$/.test(pattern)
    ? pattern.split('|')
    : undefined;
}

/** A label's value as SQL, '' when it is absent. */
export function labelSql(label: string): string {
  if (label === '__name__') return 'name';
  return `coalesce(${storedLabelSql(label)}, '')`;
}

/** A label's value as SQL, NULL when it is absent. As a JSON pointer, because a name may hold dots and quotes. */
export function storedLabelSql(label: string): string {
  const pointer = `/${label.replaceAll('~', '~0').replaceAll('/', '~1')}`;
  return `json_extract_string(labels, ${sqlText(pointer)})`;
}

/** The metric name that the matchers ask for, if it is one. */
export function exactName(matchers: readonly Matcher[]): string | undefined {
  return matchers.find(({ label, op, value }) => label === '__name__' && op === '=' && value !== '')?.value;
}
