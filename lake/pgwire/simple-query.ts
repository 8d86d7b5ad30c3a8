import { writeEmpty } from './messages.ts';
import { closePortal, createPortal, runPortal } from './portal.ts';
import type { SessionState } from './session.ts';

/**
 * Runs the statements of one text in order, all in text format. The text is parsed before its first statement runs, and
 * the first error ends it: what PostgreSQL does by an implicit transaction.
 */
export async function simpleQuery(state: SessionState, text: string): Promise<void> {
  state.prepared.delete('');
  await closePortal(state, '');
  const statements = await state.sql.parse(text);
  if (statements.length === 0) writeEmpty(state.output.writer, 'emptyQueryResponse');
  for (const statement of statements) {
    state.running.signal.throwIfAborted();
    // As the unnamed portal, so that it is closed whatever happens.
    const portal = createPortal({ statement, parameterOids: [], columns: 'undescribed' });
    state.portals.set('', portal);
    await runPortal(state, portal, { rowsMax: 0, describeRows: true });
    await closePortal(state, '');
  }
}
