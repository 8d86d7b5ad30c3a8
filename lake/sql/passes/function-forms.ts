import type { Node } from 'libpg-query';
import { call, castTo, type Fields, integer, string, text, textOf } from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';
import { notSupported } from '../errors.ts';
import { nowFunction } from '../print/call.ts';
import { duckdbFormat } from './date-format.ts';
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
  // DuckDB's date_part('epoch') is a DOUBLE too, but refuses intervals.
  if (textOf(field)?.toLowerCase() === 'epoch') return call('epoch', [value], found.location);
  return call('date_part', [field, value], found.location);
};

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
  if (!value || !pattern || args(found).length !== 2 || textOf(pattern) === undefined) return undefined;
  const group = /(^|[^\\])\((?!\?)/.test(textOf(pattern) ?? '') ? 1 : 0;
  return call('nullif', [call('regexp_extract', [value, pattern, integer(group)]), text('')], found.location);
};

const isNode = (node: Node | undefined): node is Node => node !== undefined;

const ageOf: Form = (found) => {
  const [only, ...others] = args(found);
  if (!only || others.length > 0) return undefined;
  return call('age', [call('date_trunc', [text('day'), call(nowFunction, [])]), only], found.location);
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
  div: (found) => {
    const [left, right] = args(found);
    return left && right
      ? { A_Expr: { kind: 'AEXPR_OP', name: [string('//')], lexpr: left, rexpr: right, location: -1 } }
      : undefined;
  },
  regexp_matches: (_, position) => {
    throw notSupported('regexp_matches as a set of rows', position, 'use the operator ~ or regexp_extract');
  },
};
