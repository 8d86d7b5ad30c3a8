import type { TypeName } from 'libpg-query';
import { as, namesOf, plainName } from '../ast.ts';
import { SqlError } from '../errors.ts';

/** PostgreSQL's type names (and DuckDB's own, which are accepted too) in DuckDB's words. */
const duckdbTypes: Readonly<Record<string, string>> = {
  bool: 'BOOLEAN',
  int2: 'SMALLINT',
  int4: 'INTEGER',
  int8: 'BIGINT',
  float4: 'REAL',
  float8: 'DOUBLE',
  // PostgreSQL's numeric without a precision keeps any number of digits; DuckDB's keeps three after the point.
  numeric: 'DOUBLE',
  text: 'VARCHAR',
  varchar: 'VARCHAR',
  bpchar: 'VARCHAR',
  char: 'VARCHAR',
  name: 'VARCHAR',
  citext: 'VARCHAR',
  unknown: 'VARCHAR',
  cstring: 'VARCHAR',
  bytea: 'BLOB',
  date: 'DATE',
  time: 'TIME',
  timetz: 'TIMETZ',
  timestamp: 'TIMESTAMP',
  timestamptz: 'TIMESTAMPTZ',
  interval: 'INTERVAL',
  uuid: 'UUID',
  json: 'JSON',
  jsonb: 'JSON',
  oid: 'UINTEGER',
  xid: 'UINTEGER',
  cid: 'UINTEGER',
  bit: 'BIT',
  varbit: 'BIT',
  int2vector: 'SMALLINT[]',
  oidvector: 'UINTEGER[]',
  double: 'DOUBLE',
  tinyint: 'TINYINT',
  hugeint: 'HUGEINT',
  utinyint: 'UTINYINT',
  usmallint: 'USMALLINT',
  uinteger: 'UINTEGER',
  ubigint: 'UBIGINT',
  uhugeint: 'UHUGEINT',
  blob: 'BLOB',
  string: 'VARCHAR',
};

interface PrintedType {
  readonly type: string;
  /** `varchar(n)` and `char(n)` cut what they are cast from. */
  readonly lengthMax?: number;
}

/** Throws SqlError 42704 for a type that there is not. */
export function printType(
  name: TypeName | undefined,
  positionOf: (location: number | undefined) => number | undefined,
): PrintedType {
  const plain = plainName(name?.names);
  const base = plain === undefined ? undefined : duckdbTypes[plain];
  if (name === undefined || plain === undefined || base === undefined) {
    throw new SqlError('42704', `type "${namesOf(name?.names).join('.')}" does not exist`, {
      position: positionOf(name?.location),
    });
  }
  const brackets = (name.arrayBounds ?? []).map(() => '[]').join('');
  const numbers = (name.typmods ?? []).map((node) => as(node, 'A_Const')?.ival?.ival ?? 0);
  if (plain === 'numeric' && numbers.length > 0) {
    return { type: `DECIMAL(${numbers[0] ?? 18}, ${numbers[1] ?? 0})${brackets}` };
  }
  const cuts = (plain === 'varchar' || plain === 'bpchar') && brackets === '' && numbers[0] !== undefined;
  return cuts ? { type: base, lengthMax: numbers[0] ?? 0 } : { type: `${base}${brackets}` };
}
