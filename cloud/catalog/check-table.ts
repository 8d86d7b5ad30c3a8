import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { mapConcurrent } from './concurrent.ts';
import { type DataFile, type ManifestEntry, parseManifestFile } from './manifest-file.ts';
import { type ManifestFile, parseManifestList } from './manifest-list.ts';
import { currentSnapshot, objectsOf, type Snapshot, type TableMetadata } from './metadata.ts';
import type { CatalogTable } from './table.ts';
import type { TableState } from './table-head.ts';

// Looks at everything that a table's newest snapshot needs, and says what is wrong with it and what could be done. It
// changes nothing (repair-table.ts does). Nothing comes from a cache.

export interface Problem {
  /** The object that is wrong, as its key in the store. */
  readonly object: string;
  readonly what: string;
  readonly repair: Repair;
}

export type Repair =
  /** Nothing to do in the table. */
  | { readonly kind: 'none'; readonly hint: string }
  /** The newest metadata can't be read: the newest that can becomes the newest again. */
  | { readonly kind: 'restore-metadata' }
  /** The newest snapshot is not whole: the table goes back to the newest that is. */
  | { readonly kind: 'roll-back'; readonly snapshotId: bigint }
  /** A data file is lost: the table does without it. */
  | { readonly kind: 'drop-file'; readonly file: DataFile };

export interface TableCheck {
  readonly snapshots: number;
  readonly manifests: number;
  readonly files: number;
  readonly problems: readonly Problem[];
}

export interface CheckOptions {
  /** Read the end of each data file too, not only its size. */
  readonly data: boolean;
}

const requestsConcurrentMax = 16;
/** Parquet files begin and end with it. */
const magic = 'PAR1';

/** Undefined when there is no table. Throws what the store throws beside `not-found` and `corrupt`. */
export async function checkTable(
  table: CatalogTable,
  options: CheckOptions,
): Promise<TableCheck | undefined> {
  let state: TableState;
  try {
    state = await table.head.load(undefined);
  } catch (error) {
    const repair: Repair = {
      kind: 'none',
      hint: 'no version of the metadata can be read: restore one from a backup',
    };
    return { snapshots: 0, manifests: 0, files: 0, problems: [{ ...faultOf(error), repair }] };
  }
  const { metadata, fault } = state;
  if (!metadata) return undefined;
  const problems: Problem[] = [];
  if (fault) problems.push({ ...faultOf(fault), repair: { kind: 'restore-metadata' } });
  const snapshot = currentSnapshot(metadata);
  const look = snapshot && (await lookAt(table, snapshot, options));
  if (snapshot && look) problems.push(...(await withRepairs(table, metadata, snapshot, look)));
  return {
    snapshots: metadata.snapshots.length,
    manifests: look?.manifests.length ?? 0,
    files: look?.files ?? 0,
    problems,
  };
}

type Fault = Pick<Problem, 'object' | 'what'>;

interface Look {
  /** Of the snapshot itself: its list, manifests and other objects. */
  readonly faults: readonly Fault[];
  readonly lostFiles: readonly (Fault & { readonly file: DataFile })[];
  readonly manifests: readonly ManifestFile[];
  readonly files: number;
}

async function lookAt(table: CatalogTable, snapshot: Snapshot, { data }: CheckOptions): Promise<Look> {
  const faults: Fault[] = [];
  const note = (error: unknown): undefined => void faults.push(faultOf(error));
  const manifests = (await listOf(table, snapshot).catch(note)) ?? [];
  for (const location of objectsOf(snapshot)) await headOf(table, location).catch(note);
  const entries = await mapConcurrent(manifests, requestsConcurrentMax, (manifest) =>
    entriesOf(table, manifest).catch(note),
  );
  const files = entries.flatMap((list) => list ?? []).map(({ file }) => file);
  const lost = await mapConcurrent(files, requestsConcurrentMax, async (file) => {
    try {
      await checkFile(table, file, data);
      return [];
    } catch (error) {
      return [{ ...faultOf(error), file }];
    }
  });
  return { faults, lostFiles: lost.flat(), manifests, files: files.length };
}

async function withRepairs(
  table: CatalogTable,
  metadata: TableMetadata,
  snapshot: Snapshot,
  { faults, lostFiles }: Look,
): Promise<Problem[]> {
  const whole = faults.length > 0 ? await newestWhole(table, metadata, snapshot) : undefined;
  const repair: Repair = whole
    ? { kind: 'roll-back', snapshotId: whole.snapshotId }
    : { kind: 'none', hint: 'no earlier snapshot is whole: restore the object from a backup' };
  return [
    ...faults.map((fault) => ({ ...fault, repair })),
    ...lostFiles.map(
      ({ object, what, file }): Problem => ({ object, what, repair: { kind: 'drop-file', file } }),
    ),
  ];
}

/** The newest ancestor all of whose objects, and files by their size, are there. */
async function newestWhole(
  table: CatalogTable,
  metadata: TableMetadata,
  from: Snapshot,
): Promise<Snapshot | undefined> {
  const byId = new Map(metadata.snapshots.map((each) => [each.snapshotId, each]));
  for (let at = byId.get(from.parentSnapshotId ?? -1n); at; at = byId.get(at.parentSnapshotId ?? -1n)) {
    const { faults, lostFiles } = await lookAt(table, at, { data: false });
    if (faults.length === 0 && lostFiles.length === 0) return at;
  }
  return undefined;
}

async function listOf({ store, locations }: CatalogTable, snapshot: Snapshot): Promise<ManifestFile[]> {
  const key = locations.keyOf(snapshot.manifestList);
  return parseManifestList((await store.get(key)).body, key);
}

async function entriesOf(
  { store, locations }: CatalogTable,
  manifest: ManifestFile,
): Promise<ManifestEntry[]> {
  const key = locations.keyOf(manifest.path);
  const inherited = { snapshotId: manifest.addedSnapshotId, sequenceNumber: manifest.sequenceNumber };
  return parseManifestFile((await store.get(key)).body, key, inherited);
}

const headOf = ({ store, locations }: CatalogTable, location: string) =>
  store.head(locations.keyOf(location));

async function checkFile(table: CatalogTable, file: DataFile, data: boolean): Promise<void> {
  const key = table.locations.keyOf(file.path);
  const { sizeBytes } = await table.store.head(key);
  if (sizeBytes !== file.bytes) throw corrupt(key, `it has ${sizeBytes} bytes; the table says ${file.bytes}`);
  if (!data || file.bytes < 12) return;
  const end = Buffer.from(await table.store.getRange(key, file.bytes - 8, file.bytes));
  if (end.toString('latin1', 4) !== magic || end.readUInt32LE(0) > file.bytes - 12)
    throw corrupt(key, 'it does not end as a Parquet file does');
}

/** What is certain to be wrong; anything else (no connection, no credentials) ends the check. */
function faultOf(error: unknown): Fault {
  if (!(error instanceof FirnError)) throw error;
  const certain = ['not-found', 'corrupt', 'invalid', 'unsupported'].includes(error.code);
  if (!certain) throw error;
  return { object: error.subject, what: error.code === 'not-found' ? 'it is not there' : messageOf(error) };
}

const corrupt = (subject: string, message: string): FirnError =>
  new FirnError({ code: 'corrupt', operation: 'check table', subject, message });
