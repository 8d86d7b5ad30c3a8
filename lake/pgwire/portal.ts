import type { RowRange } from '../sql/cells/rows.ts';
import { canceled, SqlError } from '../sql/errors.ts';
import { type RowChunk, sliceOf } from '../sql/row-chunk.ts';
import type { CopyFormat, SqlColumn, SqlResult, SqlStatement } from '../sql/sql-session.ts';
import { chunksResult } from '../sql/statements/statement.ts';
import { writeDataRows } from './cells.ts';
import { copyFromClient } from './copy-in.ts';
import { createCopyWriter } from './copy-out.ts';
import {
  type Format,
  type ResultColumn,
  writeCommandComplete,
  writeEmpty,
  writeRowDescription,
} from './messages.ts';
import type { SessionState } from './session.ts';
import { checkSavepoint, moveTransaction, refuseInFailed } from './transaction.ts';
import { pgTypeOf } from './types.ts';

/** A prepared statement. */
export interface Prepared {
  /** Undefined for an empty query. */
  readonly statement: SqlStatement | undefined;
  readonly parameterOids: readonly number[];
  /** Columns as they were described; `undescribed` until a client asks. */
  columns: readonly SqlColumn[] | undefined | 'undescribed';
}

/** A statement with its parameters, ready to run or run in part. */
export interface Portal {
  readonly prepared: Prepared;
  readonly parameters: readonly (string | null)[];
  readonly resultFormats: readonly number[];
  run: Run | 'new' | 'done';
}

/** A result that is being read. */
interface Run {
  /** Cancels it, also when it is resumed by a later message. */
  readonly controller: AbortController;
  readonly result: SqlResult;
  readonly columns: readonly ResultColumn[] | undefined;
  readonly chunks: AsyncIterator<RowChunk>;
  /** Rows that have come and are not sent yet: those of `chunk` from `next` on. */
  chunk: RowChunk | undefined;
  next: number;
}

export function createPortal(
  prepared: Prepared,
  parameters: readonly (string | null)[] = [],
  resultFormats: readonly number[] = [],
): Portal {
  return { prepared, parameters, resultFormats, run: 'new' };
}

/** How many bytes of rows are written before the client must have read them. */
const rowsFlushBytes = 131_072;

/**
 * Runs a portal to its end or for `rowsMax` rows (0: no limit) and writes the rows and CommandComplete or
 * PortalSuspended; the next call goes on where this one stopped. `describeRows` writes RowDescription first.
 */
export async function runPortal(
  state: SessionState,
  portal: Portal,
  { rowsMax, describeRows }: { readonly rowsMax: number; readonly describeRows: boolean },
): Promise<void> {
  const { writer } = state.output;
  const { statement } = portal.prepared;
  if (!statement) return writeEmpty(writer, 'emptyQueryResponse');
  refuseInFailed(state, statement);
  if (portal.run === 'done') return runAgain(state, statement);
  if (statement.copyIn) {
    portal.run = 'done';
    const { tag } = await copyFromClient(state, statement.copyIn);
    return moveTransaction(state, statement, tag, 0);
  }
  if (portal.run === 'new') portal.run = await startRun(state, portal, statement);
  const run = portal.run;
  state.running = run.controller;
  if (describeRows && run.columns && !statement.copy) writeRowDescription(writer, run.columns);
  let rows = 0;
  if (run.columns && statement.copy) {
    rows = await copyRows(state, run, run.columns, statement.copy);
  } else if (run.columns) {
    rows = await writeRows(state, run, run.columns, rowsMax);
    if (rowsMax > 0 && rows === rowsMax) return writeEmpty(writer, 'portalSuspended');
  }
  portal.run = 'done';
  await closeRun(run);
  await moveTransaction(state, statement, run.result.tag, rows);
}

/** A query that has been read to its end has no more rows; a command runs once. */
function runAgain(state: SessionState, { kind }: SqlStatement): void {
  if (kind !== 'select') throw new SqlError('55000', 'a portal that has run cannot be run again');
  writeCommandComplete(state.output.writer, 'SELECT 0');
}

async function startRun(state: SessionState, portal: Portal, statement: SqlStatement): Promise<Run> {
  checkSavepoint(state, statement);
  const controller = state.running;
  const result =
    (await fetchedFromPortal(state, statement)) ??
    (await statement.execute(portal.parameters, controller.signal));
  try {
    const columns = result.columns && columnsOf(result.columns, portal.resultFormats);
    const described = portal.prepared.columns;
    if (described !== 'undescribed' && !statement.copy && typesOf(described) !== typesOf(result.columns)) {
      throw new SqlError('0A000', 'cached plan must not change result type');
    }
    return {
      controller,
      result,
      columns,
      chunks: result.chunks()[Symbol.asyncIterator](),
      chunk: undefined,
      next: 0,
    };
  } catch (error) {
    await result[Symbol.asyncDispose]();
    throw error;
  }
}

/** FETCH and MOVE may mean a portal of the protocol: in PostgreSQL these and cursors are the same. */
async function fetchedFromPortal(
  state: SessionState,
  { fetches }: SqlStatement,
): Promise<SqlResult | undefined> {
  const portal = fetches && state.portals.get(fetches.cursor);
  const { statement } = portal?.prepared ?? {};
  if (!fetches || !portal || !statement) return undefined;
  if (portal.run === 'new') portal.run = await startRun(state, portal, statement);
  const run = portal.run === 'done' ? undefined : portal.run;
  const taken: RowChunk[] = [];
  const rows = run
    ? await eachPart(state, run, fetches.rows, (chunk, { start, end }) => {
        taken.push(sliceOf(chunk, start, end));
        return end;
      })
    : 0;
  return fetches.moves
    ? chunksResult(`MOVE ${rows}`, undefined, [])
    : chunksResult('FETCH', run?.result.columns ?? [], taken);
}

const typesOf = (columns: readonly SqlColumn[] | undefined): string =>
  String(columns?.map(({ type }) => pgTypeOf(type).oid));

/** Columns with their formats: none given is all text, one is for all. Throws SqlError 08P01. */
export function columnsOf(
  columns: readonly SqlColumn[],
  formats: readonly number[],
): readonly ResultColumn[] {
  if (formats.length > 1 && formats.length !== columns.length) {
    throw new SqlError(
      '08P01',
      `bind message has ${formats.length} result formats but query has ${columns.length} columns`,
    );
  }
  return columns.map(({ name, type }, index) => ({
    name,
    type: pgTypeOf(type),
    format: formatOf(formats[formats.length === 1 ? 0 : index] ?? 0),
  }));
}

export function formatOf(code: number): Format {
  if (code === 0 || code === 1) return code;
  throw new SqlError('22023', `unsupported format code: ${code}`);
}

function writeRows(
  state: SessionState,
  run: Run,
  columns: readonly ResultColumn[],
  rowsMax: number,
): Promise<number> {
  const { writer } = state.output;
  return eachPart(state, run, rowsMax, (chunk, range) => writeDataRows(writer, columns, chunk, range));
}

/** COPY to the client; it can't be suspended. */
async function copyRows(
  state: SessionState,
  run: Run,
  columns: readonly ResultColumn[],
  format: CopyFormat,
): Promise<number> {
  const copy = createCopyWriter(state.output.writer, columns, format);
  copy.begin();
  const rows = await eachPart(state, run, 0, copy.rows);
  copy.end();
  return rows;
}

/** Gives the rows to `write`, `rowsMax` at most (0: all), as fast as the client takes what is written. */
async function eachPart(
  state: SessionState,
  run: Run,
  rowsMax: number,
  write: (chunk: RowChunk, range: RowRange) => number,
): Promise<number> {
  const { writer, flush } = state.output;
  let rows = 0;
  while (rowsMax === 0 || rows < rowsMax) {
    const { chunk, next } = run;
    if (chunk && next < chunk.end) {
      const end = rowsMax === 0 ? chunk.end : Math.min(chunk.end, next + rowsMax - rows);
      run.next = write(chunk, { start: next, end, bytesMax: rowsFlushBytes });
      rows += run.next - next;
      if (writer.length >= rowsFlushBytes) await flush();
      continue;
    }
    const read = await run.chunks.next();
    if (state.running.signal.aborted) throw canceled('user request');
    if (read.done) break;
    run.chunk = read.value;
    run.next = read.value.start;
  }
  return rows;
}

async function closeRun({ chunks, result }: Run): Promise<void> {
  await chunks.return?.();
  await result[Symbol.asyncDispose]();
}

export async function closePortal(state: SessionState, name: string): Promise<void> {
  const portal = state.portals.get(name);
  state.portals.delete(name);
  if (!portal) return;
  const { run } = portal;
  portal.run = 'done';
  if (typeof run === 'object') await closeRun(run);
}

export async function closePortals(state: SessionState): Promise<void> {
  for (const name of [...state.portals.keys()]) await closePortal(state, name);
}
