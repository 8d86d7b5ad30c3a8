import { SqlError } from '../sql/errors.ts';
import type { SqlColumn } from '../sql/sql-session.ts';
import { type BindMessage, decodeUtf8, type FrontendMessage } from './codec.ts';
import { writeEmpty, writeParameterDescription, writeRowDescription } from './messages.ts';
import {
  closePortal,
  columnsOf,
  createPortal,
  formatOf,
  type Portal,
  type Prepared,
  runPortal,
} from './portal.ts';
import type { SessionState } from './session.ts';
import { beginImplicit, refuseInFailed } from './transaction.ts';
import { parameterOidOf, parameterTypeOf } from './types.ts';

// One function a message of the extended query protocol. They write their answer or throw; the session does the rest.

type Message<Kind extends FrontendMessage['kind']> = Extract<FrontendMessage, { readonly kind: Kind }>;

export async function parse(
  state: SessionState,
  { name, text, parameterOids }: Message<'parse'>,
): Promise<void> {
  const { prepared, limits } = state;
  if (name !== '' && prepared.has(name))
    throw new SqlError('42P05', `prepared statement "${name}" already exists`);
  if (name !== '' && prepared.size >= limits.preparedStatementsMax) {
    throw new SqlError('53400', `a session may have ${limits.preparedStatementsMax} prepared statements`, {
      hint: 'Close or DEALLOCATE some, or raise preparedStatementsMax.',
    });
  }
  const declaredTypes = parameterOids.map((oid) => parameterTypeOf(oid)?.duckdb ?? null);
  const [parsed, ...more] = await state.sql.parse(text);
  if (more.length > 0)
    throw new SqlError('42601', 'cannot insert multiple commands into a prepared statement');
  const statement = await parsed?.analyze(declaredTypes);
  if (statement) refuseInFailed(state, statement);
  const wanted = statement?.parameterTypes ?? [];
  const count = Math.max(parameterOids.length, wanted.length);
  prepared.set(name, {
    statement,
    parameterOids: Array.from(
      { length: count },
      (_, index) => parameterOids[index] || parameterOidOf(wanted[index]),
    ),
    columns: 'undescribed',
  });
  writeEmpty(state.output.writer, 'parseComplete');
}

export async function bind(state: SessionState, message: BindMessage): Promise<void> {
  const prepared = preparedOf(state, message.statement);
  const name = message.portal;
  if (name !== '' && state.portals.has(name)) throw new SqlError('42P03', `cursor "${name}" already exists`);
  if (name !== '' && state.portals.size >= state.limits.portalsMax) {
    throw new SqlError('53400', `a session may have ${state.limits.portalsMax} portals`, {
      hint: 'Close some, end the transaction, or raise portalsMax.',
    });
  }
  if (prepared.statement) refuseInFailed(state, prepared.statement);
  const parameters = readParameters(prepared, message);
  const portal = createPortal(prepared, parameters, message.resultFormats);
  await closePortal(state, name);
  state.portals.set(name, portal);
  writeEmpty(state.output.writer, 'bindComplete');
}

function readParameters({ parameterOids }: Prepared, message: BindMessage): readonly (string | null)[] {
  const { statement, parameters, parameterFormats: formats } = message;
  if (formats.length > 1 && formats.length !== parameters.length) {
    throw new SqlError(
      '08P01',
      `bind message has ${formats.length} parameter formats but ${parameters.length} parameters`,
    );
  }
  if (parameters.length !== parameterOids.length) {
    throw new SqlError(
      '08P01',
      `bind message supplies ${parameters.length} parameters, but prepared statement "${statement}" requires ${parameterOids.length}`,
    );
  }
  return parameters.map((bytes, index) => {
    if (bytes === null) return null;
    if (formatOf(formats[formats.length === 1 ? 0 : index] ?? 0) === 0) return decodeUtf8(bytes);
    return readBinary(bytes, parameterOids[index] ?? 0, index + 1);
  });
}

function readBinary(bytes: Buffer, oid: number, number: number): string {
  const type = parameterTypeOf(oid);
  if (!type) {
    throw new SqlError('0A000', `parameter ${number}: type ${oid} in binary format is not supported`, {
      hint: 'Send it in text format.',
    });
  }
  const text = type.fromBinary(bytes);
  if (text === undefined)
    throw new SqlError('22P03', `incorrect binary data format in bind parameter ${number}`);
  return text;
}

/** Tells parameters and columns; nothing is executed. */
export async function describe(state: SessionState, { object, name }: Message<'describe'>): Promise<void> {
  const { writer } = state.output;
  if (object === 'portal' && !state.portals.has(name)) return describeCursor(state, name);
  const portal = object === 'portal' ? portalOf(state, name) : undefined;
  const prepared = portal?.prepared ?? preparedOf(state, name);
  if (prepared.statement?.kind === 'select') refuseInFailed(state, prepared.statement);
  const columns = await describedColumns(prepared);
  if (!portal) writeParameterDescription(writer, prepared.parameterOids);
  if (columns) writeRowDescription(writer, columnsOf(columns, portal?.resultFormats ?? []));
  else writeEmpty(writer, 'noData');
}

/** In PostgreSQL a cursor is a portal, and clients describe what they have declared; here the SQL session has cursors. */
async function describeCursor(state: SessionState, name: string): Promise<void> {
  const quoted = `"${name.replaceAll('"', '""')}"`;
  try {
    const [fetch] = name === '' ? [] : await state.sql.parse(`FETCH FORWARD 0 FROM ${quoted}`);
    const columns = await (await fetch?.analyze())?.describe();
    if (columns) return writeRowDescription(state.output.writer, columnsOf(columns, []));
  } catch (error) {
    if (!(error instanceof SqlError && error.sqlstate === '34000')) throw error;
  }
  throw noPortal(name);
}

async function describedColumns(prepared: Prepared): Promise<readonly SqlColumn[] | undefined> {
  const { statement } = prepared;
  // COPY answers with CopyOutResponse, not with rows.
  if (prepared.columns === 'undescribed')
    prepared.columns = statement?.copy ? undefined : await statement?.describe();
  return prepared.columns;
}

export async function execute(state: SessionState, { portal, rowsMax }: Message<'execute'>): Promise<void> {
  const found = portalOf(state, portal);
  if (!(await isAlone(state, found))) await beginImplicit(state);
  await runPortal(state, found, { rowsMax, describeRows: false });
}

/**
 * A command that Sync follows at once is its own transaction, and need not be kept apart from others. Whoever sends neither
 * Sync nor Flush may not wait for an answer, so the next message comes.
 */
async function isAlone(
  { transaction, implicit, input }: SessionState,
  { prepared }: Portal,
): Promise<boolean> {
  const { statement } = prepared;
  if (transaction !== 'I' || implicit || statement?.kind !== 'command' || statement.copyIn) return false;
  return (await input.peek())?.type === 'S';
}

/** Closing what there is not is no error. */
export async function close(state: SessionState, { object, name }: Message<'close'>): Promise<void> {
  if (object === 'portal') await closePortal(state, name);
  else state.prepared.delete(name);
  writeEmpty(state.output.writer, 'closeComplete');
}

function preparedOf(state: SessionState, name: string): Prepared {
  const prepared = state.prepared.get(name);
  if (prepared) return prepared;
  throw new SqlError(
    '26000',
    name === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${name}" does not exist`,
  );
}

function portalOf(state: SessionState, name: string): Portal {
  const portal = state.portals.get(name);
  if (portal) return portal;
  throw noPortal(name);
}

const noPortal = (name: string): SqlError => new SqlError('34000', `portal "${name}" does not exist`);
