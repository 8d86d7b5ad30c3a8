import { SqlError } from './errors.ts';
import { identifier } from './print/expression.ts';

// What a temporary table is made of, as data: ALTER TABLE makes another one of it, and a copy of a table is made by it.

export interface TempColumn {
  readonly name: string;
  /** DuckDB's. */
  readonly type: string;
  /** Of `varchar(n)`: a longer text is an error. */
  readonly lengthMax?: number | undefined;
  readonly notNull: boolean;
  /** SQL of the value that a column has when it is given none. */
  readonly default?: string | undefined;
  /** GENERATED ALWAYS AS IDENTITY: it takes no other value. */
  readonly always?: boolean;
}

export interface TempConstraint {
  readonly name: string | undefined;
  readonly kind: 'primary' | 'unique' | 'check';
  /** Of a key. */
  readonly columns: readonly string[];
  /** Of a check. */
  readonly sql?: string;
}

export interface TempTableDefinition {
  readonly name: string;
  readonly columns: readonly TempColumn[];
  readonly constraints: readonly TempConstraint[];
  readonly onCommit: 'preserve' | 'delete' | 'drop';
}

/** What stands in the parentheses of CREATE TABLE. Throws SqlError 42701, 42P16. */
export function ddlOf({ name, columns, constraints }: TempTableDefinition): string {
  const names = columns.map((column) => column.name);
  const twice = names.find((each, index) => names.indexOf(each) !== index);
  if (twice !== undefined) throw new SqlError('42701', `column "${twice}" specified more than once`);
  if (columns.length === 0) throw new SqlError('42P16', `table "${name}" would have no columns`);
  return [...columns.map(columnSql), ...constraints.map(constraintSql)].join(', ');
}

function columnSql({ name, type, lengthMax, notNull, default: value }: TempColumn): string {
  const words = [identifier(name), type];
  if (notNull) words.push('NOT NULL');
  if (value !== undefined) words.push(`DEFAULT (${value})`);
  if (lengthMax !== undefined)
    words.push(
      `CHECK (CASE WHEN length(${identifier(name)}) > ${lengthMax} THEN error('value too long for type character varying(${lengthMax})') ELSE true END)`,
    );
  return words.join(' ');
}

function constraintSql({ kind, columns, sql }: TempConstraint): string {
  if (kind === 'check') return `CHECK (${sql})`;
  return `${kind === 'primary' ? 'PRIMARY KEY' : 'UNIQUE'} (${columns.map(identifier).join(', ')})`;
}

/** The name that PostgreSQL gives a constraint that has none. */
export function constraintName(table: string, { name, kind, columns }: TempConstraint): string {
  if (name !== undefined) return name;
  return kind === 'primary'
    ? `${table}_pkey`
    : [table, ...columns, kind === 'unique' ? 'key' : 'check'].join('_');
}
