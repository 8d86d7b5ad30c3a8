import { hasSqlDetails, loadModule, type Node, parseSync } from 'libpg-query';
import { createByteCache } from '../base/byte-cache.ts';
import { messageOf } from '../base/errors.ts';
import { SqlError, syntaxError } from './errors.ts';
import { type Travels, takeTimeTravel, travelsOf } from './time-travel.ts';

await loadModule();

/** One statement of a text. */
export interface ParsedStatement {
  /** The statement's own text, without the semicolon. */
  readonly text: string;
  /** PostgreSQL's tree; undefined when PostgreSQL's parser refused the text, which is then tried as DuckDB's SQL. */
  readonly node: Node | undefined;
  /** PostgreSQL's refusal, when it refused. */
  readonly refusal: SqlError | undefined;
  /** Turns a location of the tree (a byte offset in the whole text) into a position (1-based code points). */
  readonly positionOf: (location: number | undefined) => number | undefined;
  /** States of tables that it asks for (time-travel.ts). */
  readonly travels: Travels;
}

/** Memory that the trees of texts that were asked lately may take, and what is known of them. */
const parsedBytesMax = 8 * 1024 * 1024;
/** About what a tree takes: for any text, and for each byte of it. */
const treeBytes = 4096;
const treeBytesPerByte = 32;

/** Nothing changes a tree, so the sessions of a process share them. */
const lately = createByteCache<{ readonly bytes: number; readonly statements: readonly ParsedStatement[] }>(
  parsedBytesMax,
  ({ bytes }) => treeBytes + treeBytesPerByte * bytes,
);

/**
 * Splits a text into statements with PostgreSQL's own parser. A text that it refuses comes back as one statement with
 * the refusal in it. Throws SqlError 54000 when it is longer than `statementBytesMax`.
 */
export function parseStatements(text: string, statementBytesMax: number): readonly ParsedStatement[] {
  const bytes = Buffer.byteLength(text);
  if (bytes > statementBytesMax) {
    throw new SqlError('54000', `the query text has ${bytes} bytes`, {
      hint: `statementBytesMax is ${statementBytesMax}`,
    });
  }
  return lately.get(text, () => ({ bytes, statements: parseText(text) })).statements;
}

function parseText(text: string): readonly ParsedStatement[] {
  const bytes = Buffer.from(text);
  const positionOf = (location: number | undefined): number | undefined =>
    location === undefined || location < 0 ? undefined : codePoints(bytes.toString('utf8', 0, location)) + 1;
  const { text: postgres, clauses } = takeTimeTravel(text);
  try {
    return (parseSync(postgres).stmts ?? []).flatMap(
      ({ stmt, stmt_location: start = 0, stmt_len: length }) => {
        if (!stmt) return [];
        const end = length ? start + length : bytes.byteLength;
        const own = clauses.filter((clause) => clause.startByte >= start && clause.startByte < end);
        const travels = travelsOf(stmt, bytes, own, positionOf);
        return [
          {
            text: bytes.toString('utf8', start, end).trim(),
            node: stmt,
            refusal: undefined,
            positionOf,
            travels,
          },
        ];
      },
    );
  } catch (error) {
    if (error instanceof SqlError) throw error;
    if (error instanceof RangeError) throw new SqlError('54001', 'the statement is nested too deeply');
    return [{ text, node: undefined, refusal: refusalOf(error, text), positionOf, travels: new Map() }];
  }
}

function refusalOf(error: unknown, text: string): SqlError {
  const message = messageOf(error);
  if (message.startsWith('memory exhausted'))
    return new SqlError('54001', 'the statement is nested too deeply');
  if (!hasSqlDetails(error) || error.sqlDetails === undefined) return syntaxError(message);
  // The parser counts UTF-16 units here, PostgreSQL's protocol code points.
  const before = text.slice(0, Math.max(0, error.sqlDetails.cursorPosition));
  return syntaxError(error.sqlDetails.message, codePoints(before) + 1);
}

function codePoints(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
