import type { Node, TypeName } from 'libpg-query';
import {
  as,
  call,
  castTo,
  type Fields,
  namesOf,
  plainName,
  type Rule,
  string,
  text,
  textOf,
} from '../ast.ts';
import { catalogSchema } from '../catalog/view.ts';
import { nowFunction } from '../print/call.ts';
import { arrayElements, parseArray } from './arrays.ts';
import { intervalLiteral } from './interval.ts';

// Casts that mean something else to DuckDB: names of objects (regclass and its kin), arrays as text, intervals, and
// times that are words.

export const castRules: readonly Rule[] = [
  (node) => {
    const cast = as(node, 'TypeCast');
    return cast && rewriteCast(cast);
  },
  (node) => {
    const expression = as(node, 'A_Expr');
    return expression && (anyOfArray(expression) ?? comparedNames(expression));
  },
];

const objectTypes = /^reg(class|type|proc|namespace|role)$/;

function rewriteCast({ arg, typeName, location = -1 }: Fields<'TypeCast'>): Node | undefined {
  const type = plainName(typeName?.names);
  if (!arg || type === undefined) return undefined;
  if (typeName?.arrayBounds) return arrayCast(arg, typeName, location);
  if (type === 'regprocedure') return objectCast(arg, 'regproc');
  if (objectTypes.test(type)) return objectCast(arg, type);
  const object = objectOf(arg);
  if (object) return castOfObject(object, type);
  if (type === 'interval') return intervalLiteral(arg, intervalField(typeName));
  if ((type === 'text' || type === 'varchar') && !typeName?.typmods && !isText(arg))
    return call([catalogSchema, 'text_of'], [arg], location);
  if (type === 'bytea') return bytesOf(textOf(arg));
  if (type === 'bool') return truthWord(textOf(arg), location);
  if (type === 'timestamptz' || type === 'timestamp' || type === 'date')
    return timeWord(textOf(arg), type) ?? withSeconds(arg, type);
  if (type === 'time' && isInstant(arg)) return castTo(castTo(arg, 'timestamp'), type, location);
  return type === 'timetz' ? withSeconds(arg, type) : undefined;
}

/** Text names an object and becomes its id; a number is an id and becomes the name, which is how PostgreSQL shows it. */
function objectCast(arg: Node, type: string): Node {
  const isId = isObjectId(arg);
  return call([catalogSchema, `${type}_${isId ? 'name' : 'oid'}`], [arg]);
}

/** By its looks: a number, a cast to one, or a column that is named like an object id. */
function isObjectId(node: Node): boolean {
  if (as(node, 'A_Const')?.ival) return true;
  const type = plainName(as(node, 'TypeCast')?.typeName?.names);
  if (type !== undefined) return /^(oid|int[248])$/.test(type);
  const column = namesOf(as(node, 'ColumnRef')?.fields).at(-1) ?? '';
  return /(oid|id|rel|typ|type|class|namespace|owner|elem|basetype|input|output|receive|send|fn|func)$/.test(
    column,
  );
}

/** What a result shows of `'metrics'::regclass` is the name. Runs after the others, on the statement that is answered. */
export function shownObjects(root: Node): Node {
  const select = as(root, 'SelectStmt');
  if (!select?.targetList) return root;
  const targetList = select.targetList.map((target): Node => {
    const { val, ...rest } = as(target, 'ResTarget') ?? {};
    const object = objectOf(val);
    if (!val || object?.as !== 'oid') return target;
    return { ResTarget: { ...rest, val: call([catalogSchema, `${object.type}_name`], [val]) } };
  });
  return { SelectStmt: { ...select, targetList } };
}

interface ObjectReference {
  readonly type: string;
  readonly as: 'oid' | 'name';
  readonly of: Node;
}

function objectOf(node: Node | undefined): ObjectReference | undefined {
  const found = as(node, 'FuncCall');
  const [schema, name = ''] = namesOf(found?.funcname);
  const [, type, shown] = /^(reg[a-z]+)_(oid|name)$/.exec(name) ?? [];
  const of = found?.args?.[0];
  if (schema !== catalogSchema || !type || !of) return undefined;
  return { type, as: shown === 'oid' ? 'oid' : 'name', of };
}

function castOfObject(object: ObjectReference, type: string): Node | undefined {
  const number = /^(oid|int[248])$/.test(type);
  if (object.as === 'name') return number ? object.of : undefined;
  if (number) return undefined;
  const oid = call([catalogSchema, `${object.type}_oid`], [object.of]);
  return castTo(call([catalogSchema, `${object.type}_name`], [oid]), type);
}

/** `oid::regclass = 'x'::regclass` compares ids. */
function comparedNames(expression: Fields<'A_Expr'>): Node | undefined {
  const left = objectOf(expression.lexpr);
  const right = objectOf(expression.rexpr);
  if (!left || !right || left.as === right.as) return undefined;
  return {
    A_Expr: {
      ...expression,
      ...(left.as === 'name' ? { lexpr: left.of } : { rexpr: right.of }),
    },
  };
}

const textArray: TypeName = {
  names: [string('text')],
  arrayBounds: [{ Integer: { ival: -1 } }],
  typemod: -1,
};

/** An array as text becomes a list; a parameter's text is read when the statement runs. */
function arrayCast(arg: Node, typeName: TypeName, location: number): Node | undefined {
  const input = textOf(arg);
  const elements = input === undefined ? undefined : parseArray(input);
  if (elements) {
    const list = elements.map(
      (element): Node => (element === null ? { A_Const: { isnull: true, location: -1 } } : text(element)),
    );
    return { TypeCast: { arg: { A_ArrayExpr: { elements: list, location } }, typeName, location } };
  }
  // A parameter's text is made a list when it is bound (statements/bind.ts).
  return undefined;
}

/** `x = ANY('{a,b}')` is `x IN ('a', 'b')`, where each constant takes the type of x; `<> ALL` is NOT IN. */
function anyOfArray(expression: Fields<'A_Expr'>): Node | undefined {
  const { kind, name, lexpr, rexpr, location = -1 } = expression;
  const symbol = plainName(name);
  const isIn = kind === 'AEXPR_OP_ANY' && symbol === '=';
  const isNotIn = kind === 'AEXPR_OP_ALL' && (symbol === '<>' || symbol === '!=');
  if (!lexpr || !(kind === 'AEXPR_OP_ANY' || kind === 'AEXPR_OP_ALL')) return undefined;
  if (as(rexpr, 'ParamRef') && rexpr) {
    // Without a cast, all that is known of the parameter is that it is an array: compare as text.
    const list: Node = { TypeCast: { arg: rexpr, typeName: textArray, location: -1 } };
    return { A_Expr: { ...expression, lexpr: castTo(lexpr, 'text'), rexpr: list } };
  }
  const elements = isIn || isNotIn ? arrayElements(rexpr) : undefined;
  if (!elements) return undefined;
  if (elements.length === 0) return { A_Const: { boolval: { boolval: isNotIn }, location } };
  const items = elements.map(
    (element): Node => (element === null ? { A_Const: { isnull: true, location: -1 } } : text(element)),
  );
  return {
    A_Expr: {
      kind: 'AEXPR_IN',
      name: [string(isIn ? '=' : '<>')],
      lexpr,
      rexpr: { List: { items } },
      location,
    },
  };
}

/** The unit of a bare number by the interval's fields (bits of PostgreSQL's INTERVAL_MASK). */
function intervalField(typeName: TypeName | undefined): string | undefined {
  const mask = as(typeName?.typmods?.[0], 'A_Const')?.ival?.ival;
  const last: Readonly<Record<number, string>> = {
    4: 'year',
    2: 'month',
    6: 'month',
    8: 'day',
    1024: 'hour',
    1032: 'hour',
    2048: 'minute',
    3072: 'minute',
    3080: 'minute',
    4096: 'second',
    6144: 'minute to second',
  };
  return mask === undefined ? undefined : last[mask];
}

/** `\\x0a1b` is hexadecimal; DuckDB reads `\\x` before every byte. */
function bytesOf(input: string | undefined): Node | undefined {
  const hex = /^\\x((?:[0-9a-f]{2})*)$/i.exec(input ?? '')?.[1];
  return hex === undefined ? undefined : call('unhex', [text(hex)]);
}

/** PostgreSQL's words for true and false, of which DuckDB knows a few. */
function truthWord(word: string | undefined, location: number): Node | undefined {
  const key = word?.trim().toLowerCase();
  const isTrue = key !== undefined && /^(t|tr|tru|true|y|ye|yes|on|1)$/.test(key);
  const isFalse = key !== undefined && /^(f|fa|fal|fals|false|n|no|of|off|0)$/.test(key);
  return isTrue || isFalse ? { A_Const: { boolval: { boolval: isTrue }, location } } : undefined;
}

/** Text already, by its looks, and so nothing that its cast would have to print. */
const isText = (node: Node): boolean =>
  as(node, 'A_Const') !== undefined || as(node, 'ParamRef') !== undefined;

/** A column or call that is a time with its zone, by its looks: DuckDB can't cast that to a time of day. */
function isInstant(node: Node): boolean {
  const column = namesOf(as(node, 'ColumnRef')?.fields).at(-1) ?? '';
  return (
    /^(.*_)?(timestamp|timeend|time)$/.test(column) ||
    namesOf(as(node, 'FuncCall')?.funcname).at(-1) === nowFunction
  );
}

/** `12:30+02`, `20260101` and `2026-01-01 12:30Z`: DuckDB wants the seconds before an offset. */
function withSeconds(arg: Node, type: string): Node | undefined {
  const [, time, offset] = /^(.*\b\d\d?:\d\d)\s*((?:[+-]\d\d.*|Z))$/i.exec(textOf(arg)?.trim() ?? '') ?? [];
  const compact = /^(\d{4})(\d\d)(\d\d)$/.exec(textOf(arg)?.trim() ?? '');
  if (compact) return castTo(text(compact.slice(1).join('-')), type);
  if (time === undefined || /:\d\d:\d\d$/.test(time)) return undefined;
  return castTo(text(`${time}:00${offset}`), type);
}

/** now, today, tomorrow and yesterday as words. */
function timeWord(word: string | undefined, type: string): Node | undefined {
  const now = call(nowFunction, []);
  const days: Readonly<Record<string, number>> = { today: 0, tomorrow: 1, yesterday: -1 };
  const key = word?.trim().toLowerCase() ?? '';
  if (key === 'now') return castTo(now, type);
  const offset = Object.hasOwn(days, key) ? days[key] : undefined;
  if (offset === undefined) return undefined;
  const day = call('date_trunc', [text('day'), now]);
  const interval = castTo(text(`${offset} days`), 'interval');
  const sum = { kind: 'AEXPR_OP', name: [string('+')], lexpr: day, rexpr: interval, location: -1 } as const;
  return castTo({ A_Expr: { ...sum, name: [...sum.name] } }, type);
}
