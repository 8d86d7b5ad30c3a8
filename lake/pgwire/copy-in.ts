import { canceled, SqlError } from '../sql/errors.ts';
import type { CopyFormat, SqlColumn, SqlResult, SqlStatement } from '../sql/sql-session.ts';
import { createFieldReader } from './codec.ts';
import { type CopiedRow, createCopyReader } from './copy-rows.ts';
import type { SessionState } from './session.ts';

// The messages of COPY ... FROM STDIN: CopyInResponse, then CopyData until CopyDone or CopyFail.
// https://www.postgresql.org/docs/16/protocol-flow.html#PROTOCOL-COPY

export async function copyFromClient(
  state: SessionState,
  { format, columns, load }: NonNullable<SqlStatement['copyIn']>,
): Promise<SqlResult> {
  writeCopyInResponse(state, format, columns);
  await state.output.flush();
  return load(rowsOf(state, format, columns), state.running.signal);
}

function writeCopyInResponse(
  { output: { writer } }: SessionState,
  format: CopyFormat,
  columns: readonly SqlColumn[],
): void {
  const code = format.kind === 'binary' ? 1 : 0;
  writer.begin('G');
  writer.uint8(code);
  writer.int16(columns.length);
  for (const _ of columns) writer.int16(code);
  writer.end();
}

async function* rowsOf(
  { input, running }: SessionState,
  format: CopyFormat,
  columns: readonly SqlColumn[],
): AsyncGenerator<readonly CopiedRow[]> {
  const reader = createCopyReader(format, columns);
  for (;;) {
    const frame = await input.next();
    if (!frame) throw new SqlError('08006', 'the client has gone while it sent rows');
    if (running.signal.aborted) throw canceled('user request');
    switch (frame.type) {
      case 'd':
        yield reader.push(frame.body);
        break;
      case 'c':
        yield reader.end();
        return;
      case 'f':
        throw new SqlError('57014', `COPY from stdin failed: ${createFieldReader(frame.body).cstring()}`);
      // Flush and Sync have no meaning here.
      case 'H':
      case 'S':
        break;
      default:
        throw new SqlError('08P01', `unexpected message type ${frame.type} during COPY from stdin`);
    }
  }
}
