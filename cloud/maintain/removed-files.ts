import { z } from 'zod';
import { parseDocument } from '../../lake/model/document.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import type { CatalogTable } from '../catalog/table.ts';
import { maintainPrefix } from './lease.ts';

// Files that gateways put into the inbox are the table's when they are committed, and nobody can tell by a listing which
// of the others will be committed one day. So before such files are taken out of a table, a note says which: the sweep
// removes them when no snapshot names them any more.

const noteJson = z.object({ format: z.literal(1), keys: z.array(z.string()) });
const notesConcurrentMax = 8;

const notesPrefix = ({ tenant, name }: CatalogTable): string => `${maintainPrefix(tenant)}removed/${name}/`;

/** Written before the commit, which may then fail: a note says only that files may have been taken out. */
export async function noteRemoved(table: CatalogTable, keys: readonly string[], name: string): Promise<void> {
  // The table's own folder is listed anyway.
  const elsewhere = keys.filter((key) => !key.startsWith(table.prefix));
  if (elsewhere.length === 0) return;
  await writeNote(table, `${notesPrefix(table)}${name}.json`, elsewhere);
}

async function writeNote({ store }: CatalogTable, note: string, keys: readonly string[]): Promise<void> {
  await store.put(note, Buffer.from(`${JSON.stringify({ format: 1, keys })}\n`));
}

export interface RemovedNote {
  readonly note: string;
  readonly keys: readonly string[];
}

/** At most `notesMax`; the rest comes when these are settled. */
export async function readNotes(table: CatalogTable, notesMax: number): Promise<readonly RemovedNote[]> {
  const notes: string[] = [];
  for await (const { key } of table.store.list(notesPrefix(table), { limit: notesMax })) notes.push(key);
  return mapConcurrent(notes, notesConcurrentMax, async (note) => {
    const { body } = await table.store.get(note);
    return { note, ...parseDocument(noteJson, Buffer.from(body).toString(), 'note of removed files', note) };
  });
}

/** What is left of a note; nothing: it goes. */
export async function settleNote(
  table: CatalogTable,
  { note, keys }: RemovedNote,
  left: readonly string[],
): Promise<void> {
  if (left.length === 0) await table.store.delete(note);
  else if (left.length < keys.length) await writeNote(table, note, left);
}
