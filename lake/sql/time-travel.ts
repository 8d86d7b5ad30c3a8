import type { Node } from 'libpg-query';
import { as, walk } from './ast.ts';
import { codeMask } from './code-mask.ts';
import { SqlError, syntaxError } from './errors.ts';

// `FROM metrics FOR SYSTEM_TIME AS OF TIMESTAMP '2026-01-31 12:00Z'` (SQL:2011), and what other engines call it. It is
// not PostgreSQL's: so the clause is taken out of the text before PostgreSQL's parser sees it, as many blanks in its
// place, and goes to the table before it.

/** A state of one table, as the statement says it: an expression of a time, or a snapshot id or tag. */
export interface Travel {
  readonly kind: 'time' | 'version';
  /** SQL of a constant. */
  readonly expression: string;
}

interface Clause extends Travel {
  /** Where it stands in the UTF-8 of the text. */
  readonly startByte: number;
}

/** Clauses in one text. */
const clausesMax = 100;

const clauseStart = /\bFOR\s+(SYSTEM_TIME|TIMESTAMP|SYSTEM_VERSION|VERSION)\s+AS\s+OF\b/gi;
const text = /'(?:[^']|'')*'/.source;
const time = new RegExp(
  `\\s*(?:(?:(?:timestamptz|timestamp(?:\\s+with(?:out)?\\s+time\\s+zone)?|date)\\s*)?${text}(?:\\s*::\\s*\\w+)?` +
    `|(?:now\\s*\\(\\s*\\)|current_timestamp)(?:\\s*-\\s*interval\\s*${text})?)`,
  'iy',
);
const version = new RegExp(`\\s*(?:\\d+|${text})`, 'y');

/** The text without its clauses, and the clauses; most texts have none. Throws SqlError for one that can't be read. */
export function takeTimeTravel(sql: string): { readonly text: string; readonly clauses: readonly Clause[] } {
  if (!/\bAS\s+OF\b/i.test(sql)) return { text: sql, clauses: [] };
  const clauses: Clause[] = [];
  let rest = '';
  let at = 0;
  for (const found of codeMask(sql).matchAll(clauseStart)) {
    const start = found.index;
    const kind = /version/i.test(found[1] ?? '') ? 'version' : 'time';
    const pattern = kind === 'time' ? time : version;
    pattern.lastIndex = start + found[0].length;
    // The mask ends where a string begins: what follows is looked for in the text itself.
    const expression = pattern.exec(sql)?.[0];
    if (expression === undefined)
      throw syntaxError(
        kind === 'time'
          ? "AS OF takes a time: TIMESTAMP '...', or now() - interval '...'"
          : 'AS OF takes the id of a snapshot, or the name of a tag in quotes',
        [...sql.slice(0, start)].length + 1,
      );
    const end = start + found[0].length + expression.length;
    if (clauses.length === clausesMax)
      throw new SqlError('54000', `a text may ask for ${clausesMax} states of tables (clausesMax)`);
    clauses.push({ kind, expression: expression.trim(), startByte: Buffer.byteLength(sql.slice(0, start)) });
    // PostgreSQL's parser counts bytes: a blank for each.
    rest += sql.slice(at, start) + ' '.repeat(Buffer.byteLength(sql.slice(start, end)));
    at = end;
  }
  return { text: rest + sql.slice(at), clauses };
}

/** Travels by the location (a byte offset) of the table that each belongs to. */
export type Travels = ReadonlyMap<number, Travel>;

const name = /(?:"(?:[^"]|"")*"|[\w$\u0080-\uffff]+)/.source;
/** What may stand between the beginning of a table's name and its clause: the name, and an alias. */
const tableBefore = new RegExp(`^${name}(?:\\s*\\.\\s*${name})*(?:\\s+(?:AS\\s+)?${name})?\\s*$`, 'i');

/** Gives each clause to the table that it stands behind. Throws SqlError for one that stands elsewhere. */
export function travelsOf(
  root: Node,
  sql: Buffer,
  clauses: readonly Clause[],
  positionOf: (location: number) => number | undefined,
): Travels {
  if (clauses.length === 0) return new Map();
  const tables: number[] = [];
  walk(root, (node) => {
    const location = as(node, 'RangeVar')?.location;
    if (location !== undefined) tables.push(location);
  });
  const travels = new Map<number, Travel>();
  for (const { kind, expression, startByte } of clauses) {
    const table = Math.max(-1, ...tables.filter((location) => location < startByte));
    if (table < 0 || travels.has(table) || !tableBefore.test(sql.toString('utf8', table, startByte)))
      throw syntaxError('AS OF stands behind the name of a table', positionOf(startByte));
    travels.set(table, { kind, expression });
  }
  return travels;
}
