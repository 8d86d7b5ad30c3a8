import { randomUUID } from 'node:crypto';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { changedTimesSummary, withoutChangedTimes } from './changed-times.ts';
import { mapConcurrent } from './concurrent.ts';
import { type DataFile, type ManifestEntry, printManifestFile } from './manifest-file.ts';
import { describeManifest, type ManifestFile, printManifestList } from './manifest-list.ts';
import { currentSnapshot, type Snapshot, type TableMetadata } from './metadata.ts';
import type { CatalogTable } from './table.ts';
import type { ExistingTable, TableState } from './table-head.ts';
import { takeOut } from './take-out.ts';

// A commit writes a manifest and a manifest list under new names, and then `v<N+1>.metadata.json` if absent: that put is
// the commit point. Who loses it reads the table again and asks the proposer again, because what it wanted to add may be
// there by now. Files of lost attempts are orphans, which maintenance removes. (Maintenance must keep metadata files for
// longer than a writer can sleep between reading a version and putting the next one.)

/** What a commit changes. `summary` goes into the snapshot as it is, on top of the counters. */
interface Proposal {
  readonly added: readonly DataFile[];
  /** Files whose rows `added` holds now: the snapshot is then a `replace`. All must be live, or it is a `conflict`. */
  readonly replaced?: readonly DataFile[];
  readonly summary: Readonly<Record<string, string>>;
  /** The last look at the finished metadata before it is written. */
  readonly finish?: (next: TableMetadata) => TableMetadata;
}

/** Looks at the current state and says what to add; undefined when nothing is left to do. May be asked repeatedly. */
export type Propose = (current: TableState) => Proposal | undefined | Promise<Proposal | undefined>;

export interface CommitOptions {
  readonly signal?: AbortSignal;
  /** For simulations: numbers in [0, 1) for jitter, and names. */
  readonly random?: () => number;
  readonly uuid?: () => string;
}

const retryDelayMs = { first: 20, max: 1_000 };
const readConcurrencyMax = 8;

/**
 * Appends or replaces in one atomic step. Starts from the state the table has in memory; call `table.load()` first to
 * start from the newest. Returns the state that holds the change, or the current one when there was nothing to do.
 * Throws FirnError `conflict` after `commitAttemptsMax` and when a replaced file is no longer live: nothing was then
 * committed, for certain. Whatever else it throws (`unavailable`) leaves open whether the commit was made, so propose
 * again from a fresh load.
 */
export async function commit(
  table: CatalogTable,
  propose: Propose,
  options: CommitOptions = {},
): Promise<TableState> {
  const { random = Math.random, uuid = randomUUID } = options;
  const tried = new Set<bigint>();
  let first: bigint | undefined;
  for (let attempt = 0; ; attempt++) {
    const isLate = sleepWatch(table);
    const base = await table.load(attempt === 0 ? Number.POSITIVE_INFINITY : 0);
    // A put that was retried below us can be told "exists" about its own first try.
    if (holdsAny(base, tried)) return base;
    // Where even the snapshot we began from has expired, one of ours may have come and gone.
    if (first !== undefined && !holdsAny(base, new Set([first]))) throw outcomeUnknown(table);
    if (attempt === table.limits.commitAttemptsMax) throw lostTooOften(table);
    checkWritable(base);
    const proposal = await propose(base);
    if (!proposal) return base;
    if (proposal.replaced) first ??= base.metadata?.currentSnapshotId;
    const next = await prepare(table, base, proposal, uuid);
    options.signal?.throwIfAborted();
    tried.add(next.metadata.currentSnapshotId ?? 0n);
    try {
      const state = await table.head.swap(base, next.metadata, isLate);
      table.adopt(state, next.manifests);
      return state;
    } catch (error) {
      if (!hasCode(error, 'conflict')) throw error;
    }
    await pauseAfterLoss(table, attempt, random, options.signal);
  }
}

/** What changes metadata without a new snapshot; undefined when nothing is left to do. May be asked repeatedly. */
export type ChangeMetadata = (current: TableMetadata) => TableMetadata | undefined;

/**
 * Changes a table's metadata in one atomic step, without a snapshot: references, properties, snapshots that go. Loads
 * the newest first. Returns the state that holds the change; as it is when there is no table, or nothing to change.
 * Throws as `commit` does.
 */
export async function changeMetadata(
  table: CatalogTable,
  change: ChangeMetadata,
  { random = Math.random, signal }: CommitOptions = {},
): Promise<TableState> {
  for (let attempt = 0; attempt < table.limits.commitAttemptsMax; attempt++) {
    const isLate = sleepWatch(table);
    const base = await table.load();
    checkWritable(base);
    const changed = base.metadata && change(base.metadata);
    if (!changed) return base;
    signal?.throwIfAborted();
    const lastUpdatedMs = Math.max(table.clock.nowMs(), changed.lastUpdatedMs);
    const next = { ...changed, lastUpdatedMs, metadataLog: logWith(base, table.limits.metadataLogMax) };
    try {
      const state = await table.head.swap(base, next, isLate);
      table.adopt(state);
      return state;
    } catch (error) {
      if (!hasCode(error, 'conflict')) throw error;
    }
    await pauseAfterLoss(table, attempt, random, signal);
  }
  throw lostTooOften(table);
}

/** What Firn can't read whole it does not build upon. */
function checkWritable({ fault, metadata }: TableState): void {
  if (fault) throw fault;
  if (metadata?.formatVersion === 3)
    throw new FirnError({
      code: 'unsupported',
      operation: 'commit to table',
      subject: metadata.location,
      message: `${metadata.location} is of format version 3, which Firn reads and does not write`,
    });
}

/** Says whether the process has slept since, by either clock: one of them goes on while a machine is suspended. */
function sleepWatch({ clock, limits }: CatalogTable): () => boolean {
  const begun = { ms: clock.nowMs(), monotonicMs: clock.monotonicMs() };
  return () =>
    Math.max(clock.nowMs() - begun.ms, clock.monotonicMs() - begun.monotonicMs) > limits.rediscoverAfterMs;
}

function pauseAfterLoss(
  { clock }: CatalogTable,
  attempt: number,
  random: () => number,
  signal: AbortSignal | undefined,
): Promise<void> {
  return clock.sleep(Math.min(retryDelayMs.first * 2 ** attempt, retryDelayMs.max) * random(), signal);
}

const holdsAny = ({ metadata }: TableState, ids: ReadonlySet<bigint>): boolean =>
  metadata?.snapshots.some(({ snapshotId }) => ids.has(snapshotId)) ?? false;

function lostTooOften({ prefix, limits }: CatalogTable): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'commit to table',
    subject: prefix,
    message: `others committed to ${prefix} first, ${limits.commitAttemptsMax} times in a row (commitAttemptsMax)`,
    hint: 'run fewer ingest processes for one tenant',
  });
}

function outcomeUnknown({ prefix }: CatalogTable): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'commit to table',
    subject: prefix,
    message: `${prefix} went on by more than snapshotsMax snapshots during one commit; whether it was made is unknown`,
  });
}

interface Prepared extends Pick<ExistingTable, 'metadata'> {
  readonly manifests: readonly ManifestFile[];
}

/** Writes the manifest and its list, and makes the metadata that would commit them. */
async function prepare(
  table: CatalogTable,
  base: TableState,
  proposal: Proposal,
  uuid: () => string,
): Promise<Prepared> {
  const { store, clock, prefix, locations } = table;
  const nowMs = Math.max(clock.nowMs(), base.metadata?.lastUpdatedMs ?? 0);
  const location = locations.of(prefix.replace(/\/$/, ''));
  const tableUuid = base.metadata?.tableUuid ?? uuid();
  const metadata = table.evolve(base.metadata, { location, tableUuid, nowMs });
  const name = uuid();
  const parent = currentSnapshot(metadata);
  const listKey = `${prefix}metadata/snap-${snapshotIdOf(name)}-1-${name}.avro`;
  const snapshot = {
    snapshotId: snapshotIdOf(name),
    parentSnapshotId: parent?.snapshotId,
    sequenceNumber: metadata.lastSequenceNumber + 1,
    timestampMs: nowMs,
    manifestList: locations.of(listKey),
    schemaId: metadata.currentSchemaId,
  };
  const added = proposal.added.map(
    (file): ManifestEntry => ({
      status: 'added',
      snapshotId: snapshot.snapshotId,
      sequenceNumber: snapshot.sequenceNumber,
      fileSequenceNumber: snapshot.sequenceNumber,
      file,
    }),
  );
  // A manifest that only says what an earlier snapshot deleted has nothing to say to later ones.
  const live = (await table.manifestsOf(base)).filter(
    (each) => each.deletedFiles === 0 || each.addedFiles + each.existingFiles > 0,
  );
  const { untouched, taken } = await takeOut(table, live, proposal.replaced ?? [], snapshot.snapshotId);
  const { kept, merged } = await mergeSmall(table, untouched);
  const groups = [...inGroups([...added, ...taken], table.limits.manifestEntriesMax), ...merged];
  const written = await mapConcurrent(groups, readConcurrencyMax, (entries, index) =>
    writeManifest(table, metadata, `${prefix}metadata/${name}-m${index}.avro`, entries, snapshot),
  );
  const manifests = [...written, ...kept];
  await store.put(listKey, printManifestList(manifests, snapshot));
  const summary = {
    ...summaryOf(proposal, manifests, parent),
    ...proposal.summary,
    ...changedTimesSummary(table, metadata, proposal, snapshot.sequenceNumber),
  };
  const known = { ...base, metadata: withoutChangedTimes(metadata) };
  const next = withSnapshot(known, { ...snapshot, summary }, table);
  return { metadata: proposal.finish?.(next) ?? next, manifests };
}

async function writeManifest(
  table: CatalogTable,
  metadata: TableMetadata,
  key: string,
  entries: readonly ManifestEntry[],
  snapshot: { readonly snapshotId: bigint; readonly sequenceNumber: number },
): Promise<ManifestFile> {
  const schema = metadata.schemas.find((each) => each['schema-id'] === metadata.currentSchemaId);
  const spec = metadata.partitionSpecs.find((each) => each['spec-id'] === 0);
  if (!schema || !spec) throw new TypeError(`table ${table.prefix} has lost its schema or partition spec 0`);
  const body = printManifestFile(entries, schema, spec);
  await table.store.put(key, body);
  return describeManifest({ path: table.locations.of(key), bytes: body.byteLength }, entries, snapshot);
}

/**
 * A commit a second would make a list of as many manifests. When too many are small, their entries go, unchanged and
 * sorted by day, into few large ones.
 */
async function mergeSmall(
  table: CatalogTable,
  manifests: readonly ManifestFile[],
): Promise<{ kept: readonly ManifestFile[]; merged: ManifestEntry[][] }> {
  const { smallManifestsMax, manifestEntriesMax } = table.limits;
  const small = manifests.filter(
    ({ content, specId, addedFiles, existingFiles }) =>
      content === 'data' && specId === 0 && 2 * (addedFiles + existingFiles) < manifestEntriesMax,
  );
  if (small.length <= smallManifestsMax) return { kept: manifests, merged: [] };
  const read = await mapConcurrent(small, readConcurrencyMax, (manifest) => table.entriesOf(manifest));
  const entries = read.flat().map((entry): ManifestEntry => ({ ...entry, status: 'existing' }));
  const dropped = new Set(small);
  const kept = manifests.filter((manifest) => !dropped.has(manifest));
  return { kept, merged: inGroups(entries, manifestEntriesMax) };
}

/** Entries by day, as many as a manifest holds. */
function inGroups(entries: readonly ManifestEntry[], manifestEntriesMax: number): ManifestEntry[][] {
  const sorted = entries.toSorted((a, b) => (a.file.day ?? 0) - (b.file.day ?? 0));
  const groups: ManifestEntry[][] = [];
  for (let start = 0; start < sorted.length; start += manifestEntriesMax)
    groups.push(sorted.slice(start, start + manifestEntriesMax));
  return groups;
}

/** The counters of the specification's appendix F. */
function summaryOf(
  { added, replaced = [] }: Proposal,
  manifests: readonly ManifestFile[],
  parent: Snapshot | undefined,
): Record<string, string> {
  const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);
  const addedBytes = sum(added.map(({ bytes }) => bytes));
  const removedBytes = sum(replaced.map(({ bytes }) => bytes));
  return {
    operation: replaced.length > 0 ? 'replace' : 'append',
    'added-data-files': String(added.length),
    'added-records': String(sum(added.map(({ rows }) => rows))),
    'added-files-size': String(addedBytes),
    ...(replaced.length > 0 && {
      'deleted-data-files': String(replaced.length),
      'deleted-records': String(sum(replaced.map(({ rows }) => rows))),
      'removed-files-size': String(removedBytes),
    }),
    'changed-partition-count': String(new Set([...added, ...replaced].map(({ day }) => day)).size),
    'total-data-files': String(sum(manifests.map((each) => each.addedFiles + each.existingFiles))),
    'total-records': String(sum(manifests.map((each) => each.addedRows + each.existingRows))),
    'total-files-size': String(Number(parent?.summary['total-files-size'] ?? 0) + addedBytes - removedBytes),
    'total-delete-files': parent?.summary['total-delete-files'] ?? '0',
    'total-position-deletes': parent?.summary['total-position-deletes'] ?? '0',
    'total-equality-deletes': parent?.summary['total-equality-deletes'] ?? '0',
  };
}

function withSnapshot(base: ExistingTable, snapshot: Snapshot, { limits }: CatalogTable): TableMetadata {
  const { metadata } = base;
  const main = { ...metadata.refs.main, 'snapshot-id': snapshot.snapshotId, type: 'branch' };
  const refs = { ...metadata.refs, main };
  const referred = new Set(Object.values(refs).map((ref) => ref['snapshot-id']));
  const oldest = metadata.snapshots.length + 1 - limits.snapshotsMax;
  const snapshots = [...metadata.snapshots, snapshot].filter(
    ({ snapshotId }, index) => index >= oldest || referred.has(snapshotId),
  );
  const valid = new Set(snapshots.map(({ snapshotId }) => snapshotId));
  const log = [
    ...metadata.snapshotLog,
    { timestampMs: snapshot.timestampMs, snapshotId: snapshot.snapshotId },
  ];
  // History before an expired snapshot goes with it (specification, "snapshot-log").
  const expired = log.findLastIndex(({ snapshotId }) => !valid.has(snapshotId));
  return {
    ...metadata,
    lastSequenceNumber: snapshot.sequenceNumber,
    lastUpdatedMs: snapshot.timestampMs,
    currentSnapshotId: snapshot.snapshotId,
    snapshots,
    snapshotLog: log.slice(expired + 1),
    metadataLog: logWith(base, limits.metadataLogMax),
    refs,
  };
}

function logWith({ metadata, location }: TableState, metadataLogMax: number): TableMetadata['metadataLog'] {
  if (!metadata || location === undefined) return [];
  const before = { timestampMs: metadata.lastUpdatedMs, metadataFile: location };
  return [...metadata.metadataLog, before].slice(-metadataLogMax);
}

/** 53 random bits of a random UUID (beside its fixed ones): positive, and exact for readers that use doubles. */
function snapshotIdOf(uuid: string): bigint {
  const hex = uuid.replaceAll('-', '');
  return BigInt(`0x${hex.slice(0, 12)}${hex.slice(13, 16)}`) & ((1n << 53n) - 1n) || 1n;
}
