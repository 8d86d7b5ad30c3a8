import { hasSqlDetails, loadModule, type Node, parseSync } from 'libpg-query';
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

/**
 * Splits a text into statements with PostgreSQL's own parser. A text that it refuses comes back as one statement with
 * the refusal in it. Throws SqlError 54000 when it is longer than `statementBytesMax`.
 */
export function parseStatements(text: string, statementBytesMax: number): readonly ParsedStatement[] {
  const bytes = Buffer.from(text);
  if (bytes.byteLength > statementBytesMax) {
    throw new SqlError('54000', `the query text has ${bytes.byteLength} bytes`, {
      hint: `statementBytesMax is ${statementBytesMax}`,
    });
  }
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
