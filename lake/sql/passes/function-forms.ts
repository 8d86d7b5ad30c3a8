import type { Node } from 'libpg-query';
import { as, call, castTo, type Fields, integer, namesOf, string, text, textOf } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';
import { notSupported, SqlError } from '../errors.ts';
import { nowFunction } from '../print/call.ts';
import { duckdbFormat } from './date-format.ts';
import { formatText } from './format-text.ts';
import { intervalLiteral } from './interval.ts';
import { jsonPathOf, jsonStep } from './json-path.ts';

/** Makes a call anew, its arguments rewritten already; undefined leaves it to the lists of names. */
type Form = (call: Fields<'FuncCall'>, position: number | undefined) => Node | undefined;

const now: Form = () => call(nowFunction, []);
const args = (found: Fields<'FuncCall'>): readonly Node[] => found.args ?? [];
const rename =
  (name: string): Form =>
  (found) => ({ FuncCall: { ...found, funcname: [string(name)] } });

/** A set that is a list to DuckDB: its elements are the rows. */
const rowsOf =
  (list: Form): Form =>
  (found, position) => {
    const made = list(found, position);
    return made && call('unnest', [made], found.location);
  };

const extract: Form = (found) => {
  const [field, value] = args(found);
  if (!field || !value) return undefined;
  const fraction = fractions[textOf(field)?.toLowerCase() ?? ''];
  if (fraction) {
    // DuckDB's parts are whole numbers, PostgreSQL's have the microseconds.
    const { per, type } = fraction;
    const us = call('date_part', [text('microseconds'), value], found.location);
    const quotient = {
      kind: 'AEXPR_OP',
      name: [string('/')],
      lexpr: us,
      rexpr: integer(per),
      location: -1,
    } as const;
    const part: Node = { A_Expr: { ...quotient, name: [...quotient.name] } };
    return namesOf(found.funcname).at(-1) === 'extract' ? decimal(part, type) : part;
  }
  // DuckDB's date_part('epoch') is a DOUBLE too, but refuses intervals.
  if (textOf(field)?.toLowerCase() === 'epoch') return call('epoch', [value], found.location);
  return call('date_part', [field, value], found.location);
};

const fractions: Readonly<
  Record<string, { readonly per: number; readonly type: readonly [number, number] } | undefined>
> = {
  second: { per: 1_000_000, type: [18, 6] },
  seconds: { per: 1_000_000, type: [18, 6] },
  millisecond: { per: 1000, type: [18, 3] },
  milliseconds: { per: 1000, type: [18, 3] },
};

function decimal(arg: Node, digits: readonly [number, number]): Node {
  const typmods = digits.map(integer);
  return { TypeCast: { arg, typeName: { names: [string('numeric')], typmods, typemod: -1 }, location: -1 } };
}

/** With a time zone: truncated in that zone's local time. */
const dateTrunc: Form = (found) => {
  const [unit, value, zone] = args(found);
  if (!unit || !value || !zone) return undefined;
  return call(
    'timezone',
    [zone, call('date_trunc', [unit, call('timezone', [zone, value])])],
    found.location,
  );
};

const timeBucket: Form = (found) => {
  const [width, ...others] = args(found);
  return call(
    'time_bucket',
    [(width && intervalLiteral(width)) ?? width, ...others].filter(isNode),
    found.location,
  );
};

const formatted =
  (name: string, wrap: (node: Node) => Node = (node) => node): Form =>
  (found, position) => {
    const [value, format] = args(found);
    if (!value || !format) return undefined;
    const pattern = textOf(format);
    const converted = pattern === undefined ? undefined : duckdbFormat(pattern);
    if (converted === undefined) {
      throw notSupported(
        `this format in ${name}`,
        position,
        'give a constant with patterns of dates and times',
      );
    }
    return wrap(call(name, [value, text(converted)], found.location));
  };

/** json_extract_path and its kin: the path in single steps. */
const extractPath =
  (name: string): Form =>
  (found) => {
    const [document, ...steps] = args(found);
    if (!document || steps.length === 0) return undefined;
    const texts = steps.map(textOf);
    if (texts.every((step) => step !== undefined)) {
      return call(name, [document, text(jsonPathOf(texts))], found.location);
    }
    return steps.reduce(
      (inner, step, index) =>
        call(index === steps.length - 1 ? name : 'json_extract', [inner, jsonStep(step)]),
      document,
    );
  };

const elements = (name: string): Form =>
  rowsOf((found) => call(name, [...args(found), text('$[*]')], found.location));

/** An object's keys and values, as two lists that become the columns of rows (table-functions.ts). */
const pairs =
  (values: string): Form =>
  (found) =>
    call(
      'unnest',
      [call('json_keys', args(found)), call([catalogSchema, values], args(found))],
      found.location,
    );

/** first(value, time) and last(value, time) of Timescale. */
const byTime =
  (name: string): Form =>
  (found) =>
    args(found).length === 2 ? rename(name)(found, undefined) : undefined;

const subscripts: Form = rowsOf((found) => {
  const [list] = args(found);
  return list && call('generate_series', [integer(1), call('len', [list])]);
});

/** substring(text FROM pattern) is a regular expression when the second argument is text. */
const substring: Form = (found) => {
  const [value, pattern] = args(found);
  if (!value || !pattern) return undefined;
  if (args(found).length !== 2 || textOf(pattern) === undefined)
    return call([catalogSchema, 'substr'], args(found), found.location);
  const group = /(^|[^\\])\((?!\?)/.test(textOf(pattern) ?? '') ? 1 : 0;
  return call('nullif', [call('regexp_extract', [value, pattern, integer(group)]), text('')], found.location);
};

const isNode = (node: Node | undefined): node is Node => node !== undefined;

const ageOf: Form = (found) => {
  const [only, ...others] = args(found);
  if (!only || others.length > 0) return undefined;
  return call('age', [call('date_trunc', [text('day'), call(nowFunction, [])]), only], found.location);
};

/** `label('x')` and `label(t.labels, 'x')` are `labels->>'x'`. */
const labelOf: Form = (found, position) => {
  const given = args(found);
  const name = given.at(-1);
  if (!name || given.length > 2) throw new SqlError('42883', 'label takes the name of a label', { position });
  const column: Node = { ColumnRef: { fields: [string('labels')], location: found.location ?? -1 } };
  return call('json_extract_string', [given.length === 2 ? (given[0] ?? column) : column, jsonStep(name)]);
};

/** Division by a function's name; by zero it is an error. */
const operatorOf =
  (symbol: string): Form =>
  (found) => {
    const [lexpr, right] = args(found);
    if (!lexpr || !right) return undefined;
    const rexpr = call([catalogSchema, 'nonzero'], [right]);
    return { A_Expr: { kind: 'AEXPR_OP', name: [string(symbol)], lexpr, rexpr, location: -1 } };
  };

const intervalFields = ['years', 'months', 'weeks', 'days', 'hours', 'mins', 'secs'];
const intervalFunctions: Readonly<Record<string, string>> = { mins: 'to_minutes', secs: 'to_seconds' };

const makeInterval: Form = (found, position) => {
  const parts = args(found).map((node, index): Node => {
    const named = as(node, 'NamedArgExpr');
    const field = named?.name ?? intervalFields[index] ?? '';
    if (!intervalFields.includes(field))
      throw new SqlError('42883', `make_interval has no ${field}`, { position });
    return call(intervalFunctions[field] ?? `to_${field}`, [named?.arg ?? node]);
  });
  const zero = castTo(text('0 seconds'), 'interval');
  return parts.reduce(
    (lexpr, rexpr): Node => ({
      A_Expr: { kind: 'AEXPR_OP', name: [string('+')], lexpr, rexpr, location: -1 },
    }),
    zero,
  );
};

/** The groups of the first match as a list, or the match itself when there are none; NULL without a match. */
const regexpMatch: Form = (found, position) => {
  const [value, pattern, flags] = args(found);
  const regex = textOf(pattern);
  if (!value || !pattern || regex === undefined || flags)
    throw notSupported('regexp_match with a pattern that is not constant, or with flags', position);
  const groups = regex.replaceAll(/\\.|\[[^\]]*\]/g, '').match(/\((?!\?)/g)?.length ?? 0;
  const numbers = groups === 0 ? [0] : Array.from({ length: groups }, (_, index) => index + 1);
  const elements = numbers.map((group) => call('regexp_extract', [value, pattern, integer(group)]));
  const expr = call('regexp_matches', [value, pattern], found.location);
  const result: Node = { A_ArrayExpr: { elements, location: -1 } };
  return { CaseExpr: { args: [{ CaseWhen: { expr, result, location: -1 } }], location: -1 } };
};

export const functionForms: Readonly<Record<string, Form>> = {
  now,
  transaction_timestamp: now,
  statement_timestamp: now,
  clock_timestamp: now,
  extract,
  date_part: extract,
  date_trunc: dateTrunc,
  date_bin: timeBucket,
  time_bucket: timeBucket,
  age: ageOf,
  to_char: formatted('strftime'),
  to_date: formatted('strptime', (node) => castTo(node, 'date')),
  to_timestamp: (found, position) =>
    args(found).length === 1
      ? rename('to_timestamp')(found, position)
      : formatted('strptime', (node) => castTo(node, 'timestamptz'))(found, position),
  generate_series: rowsOf((found) => call([catalogSchema, 'series'], args(found), found.location)),
  generate_subscripts: subscripts,
  _pg_expandarray: rowsOf((found) => call([catalogSchema, 'pg_expandarray'], args(found))),
  json_each: pairs('json_values'),
  jsonb_each: pairs('json_values'),
  json_each_text: pairs('json_values_text'),
  jsonb_each_text: pairs('json_values_text'),
  string_to_table: rowsOf((found) => call([catalogSchema, 'string_to_array'], args(found))),
  regexp_split_to_table: rowsOf((found) => call('string_split_regex', args(found))),
  json_object_keys: rowsOf((found) => call('json_keys', args(found))),
  jsonb_object_keys: rowsOf((found) => call('json_keys', args(found))),
  json_array_elements: elements('json_extract'),
  jsonb_array_elements: elements('json_extract'),
  json_array_elements_text: elements('json_extract_string'),
  jsonb_array_elements_text: elements('json_extract_string'),
  json_extract_path: extractPath('json_extract'),
  jsonb_extract_path: extractPath('json_extract'),
  json_extract_path_text: extractPath('json_extract_string'),
  jsonb_extract_path_text: extractPath('json_extract_string'),
  first: byTime('arg_min'),
  last: byTime('arg_max'),
  substring,
  // What SIMILAR TO and LIKE are parsed to, which are taken apart with them.
  similar_to_escape: (found) => ({ FuncCall: found }),
  like_escape: (found) => ({ FuncCall: found }),
  mod: operatorOf('%'),
  label: labelOf,
  format: (found, position) => formatText(args(found), position),
  make_interval: makeInterval,
  regexp_match: regexpMatch,
  div: operatorOf('//'),
  regexp_matches: (_, position) => {
    throw notSupported('regexp_matches as a set of rows', position, 'use the operator ~ or regexp_extract');
  },
};
