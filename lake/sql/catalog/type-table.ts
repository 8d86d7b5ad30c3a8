// PostgreSQL's types as clients look them up: object ids and properties from its pg_type.dat, which never change.

export interface PgType {
  readonly oid: number;
  readonly name: string;
  /** Object id of the array type; 0 when there is none. */
  readonly arrayOid: number;
  /** Bytes; -1 is variable, -2 a C string. */
  readonly length: number;
  /** pg_type.typcategory. */
  readonly category: string;
  /** b base, p pseudo, r range. */
  readonly kind: string;
  /** What format_type says. */
  readonly title: string;
}

const category = { array: 'A', boolean: 'B', date: 'D', network: 'I', number: 'N', pseudo: 'P', range: 'R' };

const type = (
  oid: number,
  name: string,
  arrayOid: number,
  length: number,
  [of, kind]: readonly [string, string?],
  title = name,
): PgType => ({ oid, name, arrayOid, length, category: of, kind: kind ?? 'b', title });

const pseudo = [category.pseudo, 'p'] as const;
const range = [category.range, 'r'] as const;

export const pgTypes: readonly PgType[] = [
  type(16, 'bool', 1000, 1, [category.boolean], 'boolean'),
  type(17, 'bytea', 1001, -1, ['U']),
  type(18, 'char', 1002, 1, ['Z'], '"char"'),
  type(19, 'name', 1003, 64, ['S']),
  type(20, 'int8', 1016, 8, [category.number], 'bigint'),
  type(21, 'int2', 1005, 2, [category.number], 'smallint'),
  type(22, 'int2vector', 1006, -1, [category.array]),
  type(23, 'int4', 1007, 4, [category.number], 'integer'),
  type(24, 'regproc', 1008, 4, [category.number]),
  type(25, 'text', 1009, -1, ['S']),
  type(26, 'oid', 1028, 4, [category.number]),
  type(27, 'tid', 1010, 6, ['U']),
  type(28, 'xid', 1011, 4, ['U']),
  type(29, 'cid', 1012, 4, ['U']),
  type(30, 'oidvector', 1013, -1, [category.array]),
  type(114, 'json', 199, -1, ['U']),
  type(142, 'xml', 143, -1, ['U']),
  type(194, 'pg_node_tree', 0, -1, ['Z']),
  type(600, 'point', 1017, 16, ['G']),
  type(650, 'cidr', 651, -1, [category.network]),
  type(700, 'float4', 1021, 4, [category.number], 'real'),
  type(701, 'float8', 1022, 8, [category.number], 'double precision'),
  type(705, 'unknown', 0, -2, ['X', 'p']),
  type(790, 'money', 791, 8, [category.number]),
  type(829, 'macaddr', 1040, 6, ['U']),
  type(869, 'inet', 1041, -1, [category.network]),
  type(1033, 'aclitem', 1034, 16, ['U']),
  type(1042, 'bpchar', 1014, -1, ['S'], 'character'),
  type(1043, 'varchar', 1015, -1, ['S'], 'character varying'),
  type(1082, 'date', 1182, 4, [category.date]),
  type(1083, 'time', 1183, 8, [category.date], 'time without time zone'),
  type(1114, 'timestamp', 1115, 8, [category.date], 'timestamp without time zone'),
  type(1184, 'timestamptz', 1185, 8, [category.date], 'timestamp with time zone'),
  type(1186, 'interval', 1187, 16, ['T']),
  type(1266, 'timetz', 1270, 12, [category.date], 'time with time zone'),
  type(1560, 'bit', 1561, -1, ['V']),
  type(1562, 'varbit', 1563, -1, ['V'], 'bit varying'),
  type(1700, 'numeric', 1231, -1, [category.number]),
  type(1790, 'refcursor', 2201, -1, ['U']),
  type(2202, 'regprocedure', 2207, 4, [category.number]),
  type(2205, 'regclass', 2210, 4, [category.number]),
  type(2206, 'regtype', 2211, 4, [category.number]),
  type(2249, 'record', 2287, -1, pseudo),
  type(2275, 'cstring', 1263, -2, pseudo),
  type(2276, 'any', 0, 4, pseudo, '"any"'),
  type(2277, 'anyarray', 0, -1, pseudo),
  type(2278, 'void', 0, 4, pseudo),
  type(2279, 'trigger', 0, 4, pseudo),
  type(2283, 'anyelement', 0, 4, pseudo),
  type(2950, 'uuid', 2951, 16, ['U']),
  type(3802, 'jsonb', 3807, -1, ['U']),
  type(3904, 'int4range', 3905, -1, range),
  type(3906, 'numrange', 3907, -1, range),
  type(3908, 'tsrange', 3909, -1, range),
  type(3910, 'tstzrange', 3911, -1, range),
  type(3912, 'daterange', 3913, -1, range),
  type(3926, 'int8range', 3927, -1, range),
  type(4089, 'regnamespace', 4090, 4, [category.number]),
  type(4096, 'regrole', 4097, 4, [category.number]),
];

/** Range types and the types that they range over. */
export const rangeSubtypes: Readonly<Record<string, string>> = {
  int4range: 'int4',
  numrange: 'numeric',
  tsrange: 'timestamp',
  tstzrange: 'timestamptz',
  daterange: 'date',
  int8range: 'int8',
};

const byName = new Map(pgTypes.flatMap((each) => [[each.name, each] as const, [each.title, each] as const]));

/** A type by its name or its title. Throws RangeError for one that is not in the table. */
export function pgType(name: string): PgType {
  const found = byName.get(name);
  if (!found) throw new RangeError(`there is no type ${name}`);
  return found;
}

/** Spellings that a regtype may have besides the name and the title. */
const spellings: Readonly<Record<string, string>> = {
  int: 'int4',
  float: 'float8',
  decimal: 'numeric',
  char: 'bpchar',
  '"char"': 'char',
};

/** All spellings of types and arrays, with their object ids: what `'...'::regtype` looks up. */
export const typeOids: ReadonlyMap<string, number> = new Map([
  ...pgTypes.flatMap((each): (readonly [string, number])[] => [
    [`_${each.name}`, each.arrayOid],
    [`${each.name}[]`, each.arrayOid],
    [`${each.title}[]`, each.arrayOid],
    [each.name, each.oid],
    [each.title, each.oid],
  ]),
  ...Object.entries(spellings).map(([spelling, name]) => [spelling, pgType(name).oid] as const),
]);
