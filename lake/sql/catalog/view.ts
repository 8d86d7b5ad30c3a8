import { literal } from '../print/expression.ts';

/** The schema that holds PostgreSQL's catalog in a tenant's engine. */
export const catalogSchema = 'firn_catalog';

/** The parameter lists of a macro, each with its body: DuckDB chooses by the number of arguments. */
export type Macro = readonly (readonly [parameters: string, body: string])[];

/** SQL as it stands; any other value is printed as a literal. */
interface Sql {
  readonly sql: string;
}

export type Value = string | number | boolean | null | Sql;

/**
 * A view of constant rows. `columns` says `name type [default]`, separated by commas, as PostgreSQL's documentation of
 * the catalog does; a row gives what differs from the defaults. A column without a default is NULL.
 */
export interface View {
  readonly name: string;
  readonly columns: string;
  readonly rows: readonly Readonly<Record<string, Value>>[];
  /** Rows that are no constants: FROM text, and what stands in each column, as SQL. */
  readonly more?: { readonly from: string; readonly row: Readonly<Record<string, string>> };
}

/**
 * PostgreSQL's "char" is a type of its own, by which clients know it from text (asyncpg reads it as bytes). An ENUM is the one
 * such type of DuckDB's that compares with texts. Nothing else here is an ENUM.
 */
const printable = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
const charValues = ['', ...printable];
/** How DuckDB's name of this type begins, and no other's. */
export const charTypeStart = `ENUM('', ' ', '!', `;
export const createCharType = `CREATE TYPE IF NOT EXISTS ${catalogSchema}.pg_char AS ENUM (${charValues.map(literal).join(', ')})`;

const types: Readonly<Record<string, string>> = {
  bool: 'BOOLEAN',
  int2: 'SMALLINT',
  int4: 'INTEGER',
  int8: 'BIGINT',
  float4: 'REAL',
  float8: 'DOUBLE',
  oid: 'UINTEGER',
  name: 'VARCHAR',
  text: 'VARCHAR',
  char: `${catalogSchema}.pg_char`,
  timestamptz: 'TIMESTAMPTZ',
  interval: 'INTERVAL',
};

interface Column {
  readonly name: string;
  readonly type: string;
  readonly otherwise: Value;
}

function columnsOf(view: View): Column[] {
  return view.columns.split(',').map((column) => {
    const [name = '', type = '', otherwise] = column.trim().split(/\s+/);
    const base = types[type.replace('[]', '')];
    if (base === undefined)
      throw new TypeError(`column ${name} of ${view.name} has the unknown type ${type}`);
    return {
      name,
      type: type.endsWith('[]') ? `${base}[]` : base,
      // An unquoted word is a number or a truth value; text stands in quotes.
      otherwise: otherwise === undefined ? null : { sql: otherwise },
    };
  });
}

/** The statement that makes the view. Throws TypeError when a row has a column that the view hasn't. */
export function createView(view: View): string {
  const columns = columnsOf(view);
  const names = new Set(columns.map(({ name }) => name));
  const rows = view.rows.map((row) => {
    const unknown = Object.keys(row).find((name) => !names.has(name));
    if (unknown !== undefined) throw new TypeError(`${view.name} has no column ${unknown}`);
    return `(${columns.map(({ name, otherwise }) => valueSql(row[name] ?? otherwise)).join(', ')})`;
  });
  const list = columns.map(({ name, type }, index) => `CAST(c${index} AS ${type}) AS "${name}"`);
  const none = `(${columns.map(() => 'NULL').join(', ')})`;
  const values = rows.length > 0 ? rows.join(', ') : none;
  const places = columns.map((_, index) => `c${index}`).join(', ');
  // As a table, what never changes need not be read by DuckDB's parser again with every statement that asks for it.
  const isConstant = view.rows.length > rowsOfViewMax && !view.rows.some(isOfSession);
  const kind = isConstant ? 'TABLE' : 'VIEW';
  const { more } = view;
  const fixed = `${catalogSchema}."${view.name}${more ? '_fixed' : ''}"`;
  const create =
    `CREATE OR REPLACE ${kind} ${fixed} AS SELECT ${list.join(', ')} ` +
    `FROM (VALUES ${values}) AS t(${places})${rows.length > 0 ? '' : ' WHERE false'}`;
  if (!more) return create;
  const others = columns.map(
    ({ name, type, otherwise }) => `CAST(${more.row[name] ?? valueSql(otherwise)} AS ${type})`,
  );
  return (
    `${create}; CREATE OR REPLACE VIEW ${catalogSchema}."${view.name}" AS SELECT * FROM ${fixed} ` +
    `UNION ALL SELECT ${others.join(', ')} FROM ${more.from}`
  );
}

/** A table takes memory for each column, so small ones stay views. */
const rowsOfViewMax = 40;

const isOfSession = (row: View['rows'][number]): boolean =>
  Object.values(row).some((value) => typeof value === 'object' && value !== null);

function valueSql(value: Value): string {
  if (value === null) return 'NULL';
  if (typeof value === 'object') return value.sql;
  return typeof value === 'string' ? literal(value) : String(value);
}

/** A constant MAP; looking up a key that isn't there gives NULL. */
export function mapSql(entries: readonly (readonly [Value, Value])[]): string {
  return `MAP {${entries.map(([key, value]) => `${valueSql(key)}: ${valueSql(value)}`).join(', ')}}`;
}
