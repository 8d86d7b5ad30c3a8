import { tableSchemas } from '../../lake/schema/tables.ts';
import { decodeLong } from './bounds.ts';
import { fieldIdOf } from './initial-metadata.ts';
import type { DataFile } from './manifest-file.ts';
import { currentSnapshot, type Snapshot, type TableMetadata } from './metadata.ts';
import type { CatalogTable } from './table.ts';

// Which times of `metrics` have changed lately, for what is made of its rows (rollups): the newest snapshot's summary
// lists them by sequence number, so that one look at it tells what is out of date. Files alone can't tell: a merge
// writes all rows anew and changes none, and a file that is gone leaves nothing behind. The list is short, and what is
// oldest in it becomes coarse; after a commit of another engine, which drops the property, it begins anew.
//
// `<base>;<sequence number>:<first minute>-<last minute>,…`: all that changed after <base>. Minutes since the Unix epoch.

const changedProperty = 'changed-times';
const entriesMax = 32;
/** Changes of one commit that are so far from each other stay apart. */
const apartMinutes = 60;

const minuteUs = 60_000_000;

/** Microseconds; both inclusive. */
export interface TimeRange {
  readonly fromUs: number;
  readonly toUs: number;
}

interface Entry {
  readonly sequenceNumber: number;
  readonly first: number;
  readonly last: number;
}

interface Changes {
  readonly base: number;
  readonly entries: readonly Entry[];
}

/** What a commit says of itself; nothing for tables of which nothing is made. */
export function changedTimesSummary(
  { name }: CatalogTable,
  before: TableMetadata,
  { added, replaced = [] }: { readonly added: readonly DataFile[]; readonly replaced?: readonly DataFile[] },
  sequenceNumber: number,
): Record<string, string> {
  if (name !== 'metrics') return {};
  const parent = currentSnapshot(before);
  const { base, entries } = changesOf(parent) ?? { base: parent?.sequenceNumber ?? 0, entries: [] };
  const rows = (files: readonly DataFile[]): number => files.reduce((sum, file) => sum + file.rows, 0);
  const isMerge = replaced.length > 0 && rows(added) === rows(replaced);
  const field = fieldIdOf(tableSchemas.metrics, 'timestamp');
  const ranges = isMerge ? [] : united([...added, ...replaced].map((file) => minutesOf(file, field)));
  const all = [...entries, ...ranges.map((range) => ({ ...range, sequenceNumber }))];
  while (all.length > entriesMax) all.splice(0, 2, hull(all[0] as Entry, all[1] as Entry));
  const text = all.map((entry) => `${entry.sequenceNumber}:${entry.first}-${entry.last}`).join(',');
  return { [changedProperty]: `${base};${text}` };
}

/** The metadata without the list in its newest snapshot, which the next one takes over. */
export function withoutChangedTimes(metadata: TableMetadata): TableMetadata {
  const { currentSnapshotId } = metadata;
  const snapshots = metadata.snapshots.map((snapshot) => {
    if (snapshot.snapshotId !== currentSnapshotId) return snapshot;
    const { [changedProperty]: _, ...summary } = snapshot.summary;
    return { ...snapshot, summary };
  });
  return { ...metadata, snapshots };
}

/** What changed after `sequenceNumber`; undefined where that is not known any more. */
export function changedSince(snapshot: Snapshot, sequenceNumber: number): readonly TimeRange[] | undefined {
  const changes = changesOf(snapshot);
  if (!changes || sequenceNumber < changes.base) return undefined;
  return changes.entries
    .filter((entry) => entry.sequenceNumber > sequenceNumber)
    .map(({ first, last }) => ({ fromUs: first * minuteUs, toUs: (last + 1) * minuteUs - 1 }));
}

/**
 * A text that is another one whenever rows of this time are others. Equal texts of two states of a table, whichever came
 * first, mean that nothing has changed in it between them.
 */
export function versionOfTime(metadata: TableMetadata | undefined, { fromUs, toUs }: TimeRange): string {
  const snapshot = metadata && currentSnapshot(metadata);
  if (!snapshot) return `${metadata?.tableUuid}`;
  const changes = changesOf(snapshot);
  if (!changes) return `${metadata.tableUuid} snapshot ${snapshot.snapshotId}`;
  const [first, last] = [Math.floor(fromUs / minuteUs), Math.floor(toUs / minuteUs)];
  const touching = changes.entries.filter((entry) => entry.first <= last && entry.last >= first);
  const newest = Math.max(changes.base, ...touching.map(({ sequenceNumber }) => sequenceNumber));
  return `${metadata.tableUuid} ${newest}`;
}

function changesOf(snapshot: Snapshot | undefined): Changes | undefined {
  const [, base, list] =
    /^(\d+);((?:\d+:-?\d+--?\d+,?)*)$/.exec(snapshot?.summary[changedProperty] ?? '') ?? [];
  if (base === undefined || list === undefined) return undefined;
  const entries = Array.from(list.matchAll(/(\d+):(-?\d+)-(-?\d+)/g), ([, sequenceNumber, first, last]) => ({
    ...{ sequenceNumber: Number(sequenceNumber), first: Number(first), last: Number(last) },
  }));
  return { base: Number(base), entries };
}

const hull = (one: Entry, other: Entry): Entry => ({
  sequenceNumber: Math.max(one.sequenceNumber, other.sequenceNumber),
  first: Math.min(one.first, other.first),
  last: Math.max(one.last, other.last),
});

type Minutes = Pick<Entry, 'first' | 'last'>;

const always: Minutes = { first: -(10 ** 12), last: 10 ** 12 };
const dayMinutes = 1440;

/** Of a file whose bounds another writer left out, its day. */
function minutesOf({ day, lowerBounds, upperBounds }: DataFile, field: number): Minutes {
  const [lower, upper] = [lowerBounds.get(field), upperBounds.get(field)];
  if (lower && upper)
    return {
      first: Math.floor(Number(decodeLong(lower)) / minuteUs),
      last: Math.floor(Number(decodeLong(upper)) / minuteUs),
    };
  return day === undefined ? always : { first: day * dayMinutes, last: (day + 1) * dayMinutes - 1 };
}

/** The ranges in order, those that are near each other as one. */
function united(ranges: readonly Minutes[]): Minutes[] {
  const result: Minutes[] = [];
  for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
    const last = result.at(-1);
    if (last && range.first - last.last <= apartMinutes)
      result[result.length - 1] = { first: last.first, last: Math.max(last.last, range.last) };
    else result.push(range);
  }
  return result;
}
