import { writeEmpty } from './messages.ts';
import { closePortal, createPortal, runPortal } from './portal.ts';
import type { SessionState } from './session.ts';
import { beginImplicit, endImplicit } from './transaction.ts';

/**
 * Runs the statements of one text in order, all in text format. The whole text is parsed before its first statement
 * runs; what a statement means is found when it is its turn. The first error ends the text, which is one transaction.
 */
export async function simpleQuery(state: SessionState, text: string): Promise<void> {
  state.prepared.delete('');
  await closePortal(state, '');
  const statements = await state.sql.parse(text);
  if (statements.length === 0) writeEmpty(state.output.writer, 'emptyQueryResponse');
  for (const parsed of statements) {
    state.running.signal.throwIfAborted();
    if (statements.length > 1) await beginImplicit(state);
    const statement = await parsed.analyze();
    // As the unnamed portal, so that it is closed whatever happens.
    const portal = createPortal({ statement, parameterOids: [], columns: 'undescribed' });
    state.portals.set('', portal);
    await runPortal(state, portal, { rowsMax: 0, describeRows: true });
    await closePortal(state, '');
  }
  await endImplicit(state, 'commit');
}
