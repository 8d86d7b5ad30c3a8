import { relations } from './relation-table.ts';
import { type PgType, pgType, pgTypes, rangeSubtypes } from './type-table.ts';
import type { Value, View } from './view.ts';

// pg_type, pg_range and the functions that pg_type points at. Drivers read them at the start to learn which types are
// arrays and how they are sent; none of them accepts a NULL in these columns.

/** pg_proc.oid of array_in, array_out, array_recv, array_send. */
const arrayProcs = [750, 751, 2400, 2401] as const;
const procSuffixes = ['in', 'out', 'recv', 'send'] as const;
/** Types' own functions get object ids of Firn's, from here on, four for each type. */
const firstProcOid = 9000;

const procOid = (type: PgType, index: number): number => firstProcOid + pgTypes.indexOf(type) * 4 + index;

const procColumns = (oids: readonly number[]): Record<string, Value> => ({
  typinput: oids[0] ?? 0,
  typoutput: oids[1] ?? 0,
  typreceive: oids[2] ?? 0,
  typsend: oids[3] ?? 0,
});

const align = (length: number): string =>
  length === 8 ? 'd' : length === 1 ? 'c' : length === 2 ? 's' : 'i';

function typeRow(type: PgType): Record<string, Value> {
  const { oid, name, arrayOid, length, category, kind } = type;
  const vectorOf: Record<string, number> = { int2vector: 21, oidvector: 26 };
  return {
    oid,
    typname: name,
    typlen: length,
    typbyval: length > 0 && length <= 8,
    typtype: kind,
    typcategory: category,
    typispreferred: ['bool', 'text', 'oid', 'float8', 'timestamptz', 'interval'].includes(name),
    typarray: arrayOid,
    typelem: vectorOf[name] ?? 0,
    typalign: align(length),
    typstorage: length < 0 ? 'x' : 'p',
    typcollation: category === 'S' ? 100 : 0,
    typdelim: ',',
    ...procColumns(procSuffixes.map((_, index) => procOid(type, index))),
  };
}

const arrayRow = (oid: number, name: string, elementOid: number): Record<string, Value> => ({
  oid,
  typname: `_${name}`,
  typcategory: 'A',
  typelem: elementOid,
  typdelim: ',',
  ...procColumns(arrayProcs),
});

const rowTypes = relations.flatMap((relation): Record<string, Value>[] => [
  {
    ...procColumns([2290, 2291, 2402, 2403]),
    oid: relation.rowTypeOid,
    typname: relation.name,
    typnamespace: 2200,
    typtype: 'c',
    typcategory: 'C',
    typrelid: relation.oid,
    typarray: relation.rowArrayOid,
    typdelim: ',',
  },
  { ...arrayRow(relation.rowArrayOid, relation.name, relation.rowTypeOid), typnamespace: 2200 },
]);

const proc = (oid: number, proname: string): Record<string, Value> => ({ oid, proname });

export const typeViews: readonly View[] = [
  {
    name: 'pg_type',
    columns: `oid oid, typname name, typnamespace oid 11, typowner oid 10, typlen int2 -1, typbyval bool false,
      typtype char 'b', typcategory char, typispreferred bool false, typisdefined bool true, typdelim char,
      typrelid oid 0, typsubscript oid 0, typelem oid 0, typarray oid 0, typinput oid, typoutput oid, typreceive oid,
      typsend oid, typmodin oid 0, typmodout oid 0, typanalyze oid 0, typalign char 'i', typstorage char 'x',
      typnotnull bool false, typbasetype oid 0, typtypmod int4 -1, typndims int4 0, typcollation oid 0,
      typdefaultbin text, typdefault text, typacl text[]`,
    rows: [
      ...pgTypes.map(typeRow),
      ...pgTypes
        .filter(({ arrayOid }) => arrayOid > 0)
        .map(({ arrayOid, name, oid }) => arrayRow(arrayOid, name, oid)),
      ...rowTypes,
    ],
  },
  {
    name: 'pg_proc',
    columns: `oid oid, proname name, pronamespace oid 11, proowner oid 10, prolang oid 12, procost float4 1,
      prorows float4 0, provariadic oid 0, prosupport oid 0, prokind char 'f', prosecdef bool false,
      proleakproof bool false, proisstrict bool true, proretset bool false, provolatile char 'i', proparallel char 's',
      pronargs int2 1, pronargdefaults int2 0, prorettype oid 2276, proargtypes oid[], proallargtypes oid[],
      proargmodes char[], proargnames text[], proargdefaults text, protrftypes oid[], prosrc text '', probin text,
      prosqlbody text, proconfig text[], proacl text[], proisagg bool false, proiswindow bool false`,
    rows: [
      ...procSuffixes.map((suffix, index) => proc(arrayProcs[index] ?? 0, `array_${suffix}`)),
      ...procSuffixes.map((suffix, index) => proc([2290, 2291, 2402, 2403][index] ?? 0, `record_${suffix}`)),
      ...pgTypes
        .filter(({ name }) => name !== 'record')
        .flatMap((type) =>
          procSuffixes.map((suffix, index) => proc(procOid(type, index), procName(type, suffix))),
        ),
    ],
  },
  {
    name: 'pg_range',
    columns: `rngtypid oid, rngsubtype oid, rngmultitypid oid 0, rngcollation oid 0, rngsubopc oid 0,
      rngcanonical oid 0, rngsubdiff oid 0`,
    rows: Object.entries(rangeSubtypes).map(([name, subtype]) => ({
      rngtypid: pgType(name).oid,
      rngsubtype: pgType(subtype).oid,
    })),
  },
];

/** PostgreSQL puts an underscore before the suffix where it reads better. */
function procName({ name }: PgType, suffix: string): string {
  return /^(date|time|timestamp|timestamptz|timetz|interval|numeric|json|jsonb|uuid|inet|cidr|macaddr|point|bit|varbit|xml|anyarray|range)$/.test(
    name,
  )
    ? `${name}_${suffix}`
    : `${name}${suffix}`;
}

/** Object ids of those functions by name: what `'...'::regproc` looks up. */
export const procOids: ReadonlyMap<string, number> = new Map(
  (typeViews.find(({ name }) => name === 'pg_proc')?.rows ?? []).map((row) => [
    String(row.proname),
    Number(row.oid),
  ]),
);
