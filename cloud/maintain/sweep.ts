import { z } from 'zod';
import { hasCode } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import type { CommitOptions } from '../catalog/commit.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { parseManifestList } from '../catalog/manifest-list.ts';
import type { TableMetadata } from '../catalog/metadata.ts';
import type { CatalogTable } from '../catalog/table.ts';
import { hintKey, metadataKey } from '../catalog/table-head.ts';
import { raiseFence } from './fence.ts';
import { maintainPrefix } from './lease.ts';
import { type RemovedNote, readNotes, settleNote } from './removed-files.ts';

// Objects that no snapshot names: of merges and commits that were lost, of snapshots that expired. When may one go? Not
// by its age, which says nothing about a process that sleeps before it commits. An object is first noted, with the time
// and the table's version, and goes in a later sweep, when
// - the grace time is over: views that were opened when a snapshot named it are closed by then;
// - the table has a newer version: a manifest that was written before it was noted belonged to a commit of the version
//   after the noted one at the latest, and that version exists now and does not name it;
// - and, for merged files, no maintainer that could still commit it is left: raiseFence shuts out those before us.

export interface SweepLimits {
  readonly orphanGraceMs: number;
  /** For files in the table's folder that Firn did not write: another engine may take long to commit them. */
  readonly foreignGraceMs: number;
  /** For old metadata files: a writer may sleep so long between reading one version and writing the next. */
  readonly metadataGraceMs: number;
  /** Objects that are noted at once; the rest is noted when these are gone. */
  readonly orphansNotedMax: number;
}

/** Notes of removed inbox files that one sweep looks at. */
const removedNotesMax = 1_000;
const requestsConcurrentMax = 8;

const notedJson = z.object({
  format: z.literal(1),
  noted: z.record(z.string(), z.object({ sinceMs: z.number(), version: z.number().int() })),
});
type Noted = z.infer<typeof notedJson>['noted'];

export interface Swept {
  readonly deleted: number;
  /** Noted, and not gone yet. */
  readonly waiting: number;
}

/**
 * Deletes what may go, and notes what may go later. May be killed at any moment, and others may sweep beside it. Throws
 * when anything that the table needs can't be read: nothing is deleted then.
 */
export async function sweepTable(
  table: CatalogTable,
  epoch: number,
  limits: SweepLimits,
  options: CommitOptions = {},
): Promise<Swept> {
  const { store, clock } = table;
  await raiseFence(table, epoch, options);
  const noted = await readNoted(table);
  // What there is is looked at before what is needed: whatever is committed in between counts as needed.
  const notes = await readNotes(table, removedNotesMax);
  const present = await presentKeys(table);
  const state = await table.load();
  if (!state.metadata) return { deleted: 0, waiting: 0 };
  const live = await neededKeys(table, state.metadata, state.version);
  const current = await currentFiles(table);
  const nowMs = clock.nowMs();
  const next = new Map<string, Noted[string]>();
  const toDelete: string[] = [];
  const fromNotes = new Set(notes.flatMap(({ keys }) => keys));
  for (const key of new Set([...present, ...fromNotes])) {
    if (live.has(key)) continue;
    const since = noted[key];
    const graceMs = graceOf(table, key, epoch, limits, fromNotes);
    if (since && nowMs - since.sinceMs >= graceMs && state.version > since.version) toDelete.push(key);
    else if (next.size < limits.orphansNotedMax)
      next.set(key, since ?? { sinceMs: nowMs, version: state.version });
  }
  await deleteVersions(table, toDelete, state.version);
  const others = toDelete.filter((key) => versionOf(table, key) === 0);
  await mapConcurrent(others, requestsConcurrentMax, (key) => store.delete(key));
  await settle(table, notes, { gone: new Set(toDelete), current });
  await writeNoted(table, Object.fromEntries(next));
  return { deleted: toDelete.length, waiting: next.size };
}

/** Ascending, for the same reason as in `neededKeys`. */
async function deleteVersions(table: CatalogTable, keys: readonly string[], version: number): Promise<void> {
  const { store, prefix } = table;
  const old = keys.filter((key) => versionOf(table, key) > 0);
  if (old.length === 0) return;
  // Nobody is to begin looking at a version that goes now.
  await store.put(hintKey(prefix), Buffer.from(String(version)), { contentType: 'text/plain' });
  for (const key of old.sort((a, b) => versionOf(table, a) - versionOf(table, b))) await store.delete(key);
}

/** The version of a metadata file, 0 for other objects. */
const versionOf = ({ prefix }: CatalogTable, key: string): number =>
  Number(/^metadata\/v(\d+)\.metadata\.json$/.exec(key.slice(prefix.length))?.[1] ?? 0);

function graceOf(
  table: CatalogTable,
  key: string,
  epoch: number,
  limits: SweepLimits,
  fromNotes: ReadonlySet<string>,
): number {
  if (versionOf(table, key) > 0) return limits.metadataGraceMs;
  const name = key.slice(table.prefix.length);
  if (name.startsWith('metadata/') || fromNotes.has(key)) return limits.orphanGraceMs;
  const made = /^data\/[^/]+\/e(\d+)-[^/]+\.parquet$/.exec(name)?.[1];
  // One of a later maintainer's: this sweep is the one that is late.
  if (made !== undefined && Number(made) > epoch) return Number.POSITIVE_INFINITY;
  return made === undefined ? limits.foreignGraceMs : limits.orphanGraceMs;
}

async function presentKeys({ store, prefix }: CatalogTable): Promise<string[]> {
  const keys: string[] = [];
  for (const folder of ['data/', 'metadata/'])
    for await (const { key } of store.list(`${prefix}${folder}`)) keys.push(key);
  return keys.filter((key) => key !== hintKey(prefix));
}

/** Everything that a snapshot, the newest metadata file or the log of those before it names. */
async function neededKeys(
  table: CatalogTable,
  metadata: TableMetadata,
  version: number,
): Promise<ReadonlySet<string>> {
  const { store, locations, prefix } = table;
  const needed = new Set<string>();
  const add = (location: string): void => {
    needed.add(keyIn(table, location) ?? '');
  };
  for (const { metadataFile } of metadata.metadataLog) add(metadataFile);
  // No hole may come above the oldest: the newest version is found by looking one further.
  const logged = [...needed].map((key) => versionOf(table, key)).filter((each) => each > 0);
  for (let each = Math.min(version - 1, ...logged); each <= version; each++)
    needed.add(metadataKey(prefix, each));
  const lists = await mapConcurrent(metadata.snapshots, requestsConcurrentMax, async (snapshot) => {
    add(snapshot.manifestList);
    // Objects beside the manifests, such as marks.
    for (const value of Object.values(snapshot.summary)) add(value);
    const key = locations.keyOf(snapshot.manifestList);
    return parseManifestList((await store.get(key)).body, key);
  });
  const manifests = new Map(lists.flat().map((manifest) => [manifest.path, manifest]));
  for (const path of manifests.keys()) add(path);
  await mapConcurrent([...manifests.values()], requestsConcurrentMax, async (manifest) => {
    for (const { file } of await table.entriesOf(manifest)) add(file.path);
  });
  return needed;
}

function keyIn({ locations }: CatalogTable, location: string): string | undefined {
  try {
    return locations.keyOf(location);
  } catch {
    // Text of a summary that names no object.
    return undefined;
  }
}

async function currentFiles(table: CatalogTable): Promise<ReadonlySet<string>> {
  const state = await table.load(Number.POSITIVE_INFINITY);
  const entries = await mapConcurrent(await table.manifestsOf(state), requestsConcurrentMax, (manifest) =>
    table.entriesOf(manifest),
  );
  return new Set(entries.flat().map(({ file }) => table.locations.keyOf(file.path)));
}

/** A file that is live after all (the commit was not made) is noted again when it is taken out again. */
async function settle(
  table: CatalogTable,
  notes: readonly RemovedNote[],
  { gone, current }: { readonly gone: ReadonlySet<string>; readonly current: ReadonlySet<string> },
): Promise<void> {
  await mapConcurrent(notes, requestsConcurrentMax, (note) =>
    settleNote(
      table,
      note,
      note.keys.filter((key) => !gone.has(key) && !current.has(key)),
    ),
  );
}

const notedKey = ({ tenant, name }: CatalogTable): string => `${maintainPrefix(tenant)}orphans/${name}.json`;

async function readNoted(table: CatalogTable): Promise<Noted> {
  const key = notedKey(table);
  try {
    const { body } = await table.store.get(key);
    return parseDocument(notedJson, Buffer.from(body).toString(), 'list of orphans', key).noted;
  } catch (error) {
    // Lost or damaged: everything waits for its grace time again.
    if (hasCode(error, 'not-found') || hasCode(error, 'invalid')) return {};
    throw error;
  }
}

async function writeNoted(table: CatalogTable, noted: Noted): Promise<void> {
  const key = notedKey(table);
  if (Object.keys(noted).length === 0) await table.store.delete(key);
  else await table.store.put(key, Buffer.from(`${JSON.stringify({ format: 1, noted })}\n`));
}
