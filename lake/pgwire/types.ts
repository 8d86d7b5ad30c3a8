import type { DuckDBArrayValue, DuckDBListValue } from '@duckdb/node-api';
import { charTypeStart } from '../sql/catalog/view.ts';
import type { ByteWriter } from '../sql/cells/byte-writer.ts';
import { SqlError } from '../sql/errors.ts';
import { byDuckdbName, char, type Scalar, scalars, text as textScalar } from './scalars.ts';
import { arrayText, type TextArray } from './value-text.ts';

/** The type of a result column, as RowDescription tells it, and how its values are written. */
export interface PgType {
  readonly oid: number;
  readonly length: number;
  /** Precision and scale of a numeric, -1 for everything else. */
  readonly modifier: number;
  text(value: unknown): string;
  binary(value: unknown, out: ByteWriter): void;
}

/** What a parameter may be declared as. */
export interface ParameterType {
  /** DuckDB's name of the type. */
  readonly duckdb: string;
  /** PostgreSQL's text of a value in binary format; undefined if the bytes are no value of this type. */
  fromBinary(bytes: Buffer): string | undefined;
}

/** The type of a column by DuckDB's name of it; a type that PostgreSQL has no like of is text. */
export function pgTypeOf(duckdb: string): PgType {
  const element = duckdb.replace(/(?:\[\d*\])+$/, '');
  const depth = duckdb.slice(element.length).split('[').length - 1;
  const [, base = element, precision, scale = '0'] = /^(\w+)\((?:(\d+)(?:,\s*(\d+))?\))?/.exec(element) ?? [];
  const scalar = element.startsWith(charTypeStart)
    ? char
    : (byDuckdbName.get(element) ?? byDuckdbName.get(base) ?? textScalar);
  // https://www.postgresql.org/docs/16/catalog-pg-attribute.html, atttypmod; 4 is the size of a length word.
  const modifier = base === 'DECIMAL' && precision ? ((Number(precision) << 16) | Number(scale)) + 4 : -1;
  return depth === 0 ? { ...pick(scalar), modifier } : arrayOf(scalar, depth, modifier);
}

const pick = ({ oid, length, text, binary }: Scalar): Omit<PgType, 'modifier'> => ({
  oid,
  length,
  text,
  binary,
});

/** The object id that a parameter of a DuckDB type is described with. */
export function parameterOidOf(duckdb: string | null | undefined): number {
  return duckdb === null || duckdb === undefined ? textScalar.oid : pgTypeOf(duckdb).oid;
}

const parameterTypes: ReadonlyMap<number, ParameterType> = new Map(
  scalars.flatMap((scalar): [number, ParameterType][] => [
    [scalar.oid, scalar],
    ...(scalar.arrayOid === 0 ? [] : [arrayParameter(scalar)]),
  ]),
);

function arrayParameter(element: Scalar): [number, ParameterType] {
  return [element.arrayOid, { duckdb: `${element.duckdb}[]`, fromBinary: readArray }];
}

/** The type behind an object id that a client declared; undefined for one that Firn doesn't know. */
export function parameterTypeOf(oid: number): ParameterType | undefined {
  return parameterTypes.get(oid);
}

function arrayOf(element: Scalar, depth: number, modifier: number): PgType {
  return {
    oid: element.arrayOid,
    length: -1,
    modifier,
    text: (value) => {
      const { items, counts } = flatten(value, depth);
      // PostgreSQL has one empty array, of no dimension.
      return counts.includes(0) && items.length === 0 ? '{}' : arrayText(printItems(value, element));
    },
    binary: (value, out) => writeArray(value, element, depth, out),
  };
}

const itemsOf = (value: unknown): readonly unknown[] =>
  Array.isArray(value) ? value : (value as DuckDBListValue | DuckDBArrayValue).items;

const isList = (value: unknown): boolean =>
  Array.isArray(value) || (typeof value === 'object' && value !== null && 'items' in value);

/** Lists of unequal length are printed as they are: clients that read text don't mind, PostgreSQL just has none. */
function printItems(value: unknown, element: Scalar): TextArray {
  return itemsOf(value).map((item) => {
    if (item === null || item === undefined) return null;
    return isList(item) ? printItems(item, element) : element.text(item);
  });
}

/** The elements in order, and the length of each dimension; `even` if all lists of a dimension are equally long. */
function flatten(
  value: unknown,
  depth: number,
): { readonly items: readonly unknown[]; readonly counts: readonly number[]; readonly even: boolean } {
  let items = itemsOf(value);
  const counts = [items.length];
  let even = true;
  for (let dimension = 1; dimension < depth; dimension++) {
    const lists = items.map((item) => (isList(item) ? itemsOf(item) : []));
    const count = lists[0]?.length ?? 0;
    even &&= items.every(isList) && lists.every((list) => list.length === count);
    counts.push(count);
    items = lists.flat();
  }
  return { items, counts, even };
}

/** https://www.postgresql.org/docs/16/arrays.html: every dimension has one length. Throws SqlError 2202E otherwise. */
function writeArray(value: unknown, element: Scalar, depth: number, out: ByteWriter): void {
  const { items, counts, even } = flatten(value, depth);
  if (!even) {
    throw new SqlError('2202E', 'lists of unequal length have no binary format in PostgreSQL', {
      hint: 'Select them as text: column::text.',
    });
  }
  const dimensions = items.length === 0 ? [] : counts;
  out.int32(dimensions.length);
  out.int32(items.includes(null) ? 1 : 0);
  out.int32(element.oid);
  for (const count of dimensions) {
    out.int32(count);
    out.int32(1); // the index of the first element
  }
  for (const item of items) {
    if (item === null || item === undefined) {
      out.int32(-1);
    } else {
      const at = out.beginValue();
      element.binary(item, out);
      out.endValue(at);
    }
  }
}

/** PostgreSQL's own limit of dimensions. */
const dimensionsMax = 6;

function readArray(bytes: Buffer): string | undefined {
  if (bytes.length < 12) return undefined;
  const depth = bytes.readInt32BE(0);
  const element = parameterTypes.get(bytes.readUInt32BE(8));
  let at = 12 + depth * 8;
  if (depth < 0 || depth > dimensionsMax || at > bytes.length || !element) return undefined;
  const counts = Array.from({ length: depth }, (_, index) => bytes.readInt32BE(12 + index * 8));
  // Each element has at least its length, so a count that isn't true can't make work beyond the bytes that came.
  const elements = depth === 0 ? 0 : counts.reduce((product, count) => product * count, 1);
  if (counts.some((count) => count < 0) || elements * 4 > bytes.length - at) return undefined;
  if (elements === 0) return '{}';
  let malformed = false;
  const readItem = (): string | null => {
    const length = at + 4 <= bytes.length ? bytes.readInt32BE(at) : -2;
    at += 4;
    if (length === -1) return null;
    const item = length < 0 || at + length > bytes.length ? undefined : bytes.subarray(at, at + length);
    at += length;
    const text = item && element.fromBinary(item);
    malformed ||= text === undefined;
    return text ?? null;
  };
  const readDimension = (dimension: number): TextArray => {
    const items: (string | null | TextArray)[] = [];
    for (let index = 0; index < (counts[dimension] ?? 0) && !malformed; index++) {
      items.push(dimension === depth - 1 ? readItem() : readDimension(dimension + 1));
    }
    return items;
  };
  const items = readDimension(0);
  return malformed || at !== bytes.length ? undefined : arrayText(items);
}
