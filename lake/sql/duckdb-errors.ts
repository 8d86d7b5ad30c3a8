import { messageOf } from '../base/errors.ts';
import { SqlError } from './errors.ts';
import { withoutVersions } from './temp-tables.ts';

// DuckDB reports errors as text: "<Kind> Error: <message>\n\n<candidates>\n\nLINE 1: <excerpt>\n   ^". This file turns
// that into PostgreSQL's terms; what it can't classify stays an error of class 42 or 58 with DuckDB's own words.

interface Pattern {
  readonly match: RegExp;
  readonly sqlstate: string;
  /** `$1` is the first group. */
  readonly message?: string;
}

const patterns: readonly Pattern[] = [
  {
    match: /^(?:Values list "([^"]*)" does not have a column named "([^"]*)")/,
    sqlstate: '42703',
    message: 'column $1.$2 does not exist',
  },
  {
    match: /^Table "([^"]*)" does not have a column (?:named|with name) "([^"]*)"/,
    sqlstate: '42703',
    message: 'column $1.$2 does not exist',
  },
  {
    match: /^Referenced column "([^"]*)" (?:not found|was not found)/,
    sqlstate: '42703',
    message: 'column "$1" does not exist',
  },
  {
    match: /^Referenced table "([^"]*)" not found/,
    sqlstate: '42P01',
    message: 'missing FROM-clause entry for table "$1"',
  },
  {
    match: /^Table with name "?([^"\s]*)"? does not exist/,
    sqlstate: '42P01',
    message: 'relation "$1" does not exist',
  },
  {
    match:
      /^(?:Scalar|Aggregate|Table|Scalar Macro) Function with name "?([^"\s]*)"? (?:does not exist|is not)/,
    sqlstate: '42883',
    message: 'function $1 does not exist',
  },
  {
    match: /^(?:No function matches|Macro )/,
    sqlstate: '42883',
  },
  {
    match: /^Type with name "?([^"\s]*)"? does not exist/,
    sqlstate: '42704',
    message: 'type "$1" does not exist',
  },
  {
    match: /^Ambiguous reference to column name "([^"]*)"/,
    sqlstate: '42702',
    message: 'column reference "$1" is ambiguous',
  },
  { match: /^column "([^"]*)" must appear in the GROUP BY clause/, sqlstate: '42803' },
  {
    match: /^(?:aggregate|WHERE clause cannot contain aggregates|GROUP BY clause cannot contain)/i,
    sqlstate: '42803',
  },
  {
    match: /^Duplicate alias "([^"]*)"/,
    sqlstate: '42712',
    message: 'table name "$1" specified more than once',
  },
  {
    match: /^Ambiguous reference to table "([^"]*)"/,
    sqlstate: '42712',
    message: 'table name "$1" specified more than once',
  },
  { match: /^CHECK constraint failed.*\(Error: (value too long .*)\)$/, sqlstate: '22001', message: '$1' },
  {
    match: /^CHECK constraint failed on table "?(.*?)"? with/,
    sqlstate: '23514',
    message: 'new row for relation "$1" violates a check constraint',
  },
  {
    match: /^NOT NULL constraint failed: (.*)\.([^.]*)$/,
    sqlstate: '23502',
    message: 'null value in column "$2" of relation "$1" violates not-null constraint',
  },
  {
    match: /^Duplicate key "(.*)" violates (?:primary key|unique) constraint/,
    sqlstate: '23505',
    message: 'duplicate key value violates unique constraint: $1',
  },
  {
    match: /^Referenced update column "?(.*?)"? not found in table/,
    sqlstate: '42703',
    message: 'column "$1" does not exist',
  },
  { match: /^table .* has \d+ columns but \d+ values were supplied/, sqlstate: '42601' },
  { match: /^nextval: reached (?:maximum|minimum) value of sequence/, sqlstate: '2200H' },
  { match: /^Column with name "?([^"]*?)"? already exists/, sqlstate: '42701' },
  { match: /^Cannot (?:compare|mix) values of type/, sqlstate: '42804' },
  { match: /^unrecognized configuration parameter/, sqlstate: '42704' },
  { match: /^relation "[^"]*" does not exist/, sqlstate: '42P01' },
  { match: /^function "[^"]*" does not exist/, sqlstate: '42883' },
  { match: /^(?:type|role) "[^"]*" does not exist/, sqlstate: '42704' },
  { match: /^schema "[^"]*" does not exist/, sqlstate: '3F000' },
  { match: /^More than one row returned by a subquery/, sqlstate: '21000' },
  { match: /^(?:date|time|timestamp) field value out of range/, sqlstate: '22008' },
  { match: /^invalid (?:date|time|timestamp) field format/, sqlstate: '22007' },
  { match: /[Dd]ivision by zero/, sqlstate: '22012' },
  { match: /[Oo]verflow|out of range/, sqlstate: '22003' },
];

/** By the kind that starts the message, when no pattern fits. */
const kinds: Readonly<Record<string, string>> = {
  Parser: '42601',
  Binder: '42804',
  Catalog: '42704',
  Constraint: '23000',
  Conversion: '22P02',
  'Out of Range': '22003',
  'Out of Memory': '53200',
  'Invalid Input': '22023',
  'Not implemented': '0A000',
  Permission: '42501',
  INTERRUPT: '57014',
  IO: '58030',
  HTTP: '58030',
  Fatal: 'XX000',
  INTERNAL: 'XX000',
};

/** `toSource` maps a 0-based offset in the text that DuckDB was given to a position for the client, where it is known. */
export function fromDuckdb(
  error: unknown,
  sql: string,
  toSource: (offset: number) => number | undefined,
): SqlError {
  if (error instanceof SqlError) return error;
  const text = withoutVersions(messageOf(error));
  const [, kind = '', rest = text] = /^([A-Za-z ]+?) Error: ([\s\S]*)$/.exec(text) ?? [];
  const [, body = rest, excerpt, caret] = /^([\s\S]*?)\n+LINE \d+: (.*)\n(\s*)\^/.exec(rest) ?? [];
  const [first = '', ...more] = body.split('\n').filter((line) => line.trim() !== '');
  const offset = excerpt === undefined ? undefined : offsetOf(sql, excerpt, caret ?? '');
  const position = offset === undefined ? undefined : toSource(offset);
  // What DuckDB advises about its settings is for nobody who asks from outside.
  const detail = more.length > 0 && kind !== 'Out of Memory' ? more.join('\n') : undefined;
  if (kind === 'INTERRUPT') return new SqlError('57014', 'canceling statement due to user request');
  for (const pattern of patterns) {
    const match = pattern.match.exec(first);
    if (!match) continue;
    const message = pattern.message?.replace(/\$(\d)/g, (_, index) => match[Number(index)] ?? '') ?? first;
    return new SqlError(pattern.sqlstate, message, { position, detail, cause: error });
  }
  return new SqlError(kinds[kind] ?? 'XX000', first, { position, detail, cause: error });
}

/** Where the caret of "LINE n: <excerpt>" points in the text; the excerpt may be cut at both ends with "...". */
function offsetOf(sql: string, excerpt: string, caret: string): number | undefined {
  const lead = /^LINE \d+: /.exec(`LINE 1: `)?.[0].length ?? 0;
  const column = caret.length - lead;
  const core = excerpt.replace(/^\.\.\./, '').replace(/\.\.\.$/, '');
  const start = sql.indexOf(core);
  if (start < 0 || sql.indexOf(core, start + 1) >= 0) return undefined;
  return start + column - (excerpt.startsWith('...') ? 3 : 0);
}
