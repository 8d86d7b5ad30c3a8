import { gunzipSync, gzipSync } from 'node:zlib';
import { z } from 'zod';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { currentSnapshot, snapshotObjectPrefix, type TableMetadata } from '../catalog/metadata.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { TableHead, TableState } from '../catalog/table-head.ts';

// High-water marks: per gateway the last shipment whose rows are in the table. They belong to a snapshot, so that they
// move in the same atomic swap that adds the rows: exactly once. The snapshot's summary holds those that moved lately,
// and names the object that holds all others: so a commit writes the marks that it moves, whatever the number of
// gateways, and all of them once in a while.

/** A shipment's place: epochs follow one another, and within one numbers run from 1 without holes. */
export interface Position {
  readonly epoch: number;
  readonly number: number;
}
/**
 * How far a table has come with a gateway. `ended` tells the last shipment of each epoch that came to an end, newest
 * first: a shipment of such an epoch that arrives after it was never taken, whatever lies in the inbox.
 */
export interface Mark extends Position {
  readonly ended: readonly Position[];
}
export type Marks = ReadonlyMap<string, Mark>;

/** Ended epochs that a mark remembers. */
export const endedEpochsMax = 32;

/** The marks that are not in the object, or have moved since; all of them where there is no object. */
export const marksProperty = 'firn.high-water-marks';
/** The URI of the object. Properties of this prefix name objects that live as long as their snapshot. */
const marksObjectProperty = `${snapshotObjectPrefix}high-water-marks`;
/** Characters of marks in one summary; with more, all marks go into a new object. */
export const marksTextMax = 8 * 1024;
/** Uncompressed bytes of a marks object that is read. */
const marksObjectBytesMax = 64 * 1024 * 1024;
/** Newest snapshots that keep their marks; older ones lose them, or metadata would hold snapshots x gateways of them. */
export const markedSnapshotsMax = 10;

export const origin: Position = { epoch: 0, number: 0 };
export const noMark: Mark = { ...origin, ended: [] };

export const comparePositions = (a: Position, b: Position): number =>
  a.epoch - b.epoch || a.number - b.number;
export const laterOf = (a: Position, b: Position): Position => (comparePositions(a, b) < 0 ? b : a);
export const earlierOf = (a: Position, b: Position): Position => (comparePositions(a, b) < 0 ? a : b);

/**
 * The mark moved to `to`, or as it is when that lies behind. `taken` are the shipments whose rows come with the move:
 * those at or behind the mark are not among them, because they came too late.
 */
export function moveMark(mark: Mark, to: Position, taken: readonly Position[]): Mark {
  if (comparePositions(to, mark) <= 0) return mark;
  const ends = new Map<number, number>();
  const moved = taken.filter((position) => comparePositions(position, mark) > 0);
  for (const { epoch, number } of [...mark.ended, mark, ...moved])
    if (epoch > 0 && epoch < to.epoch) ends.set(epoch, Math.max(number, ends.get(epoch) ?? 0));
  const ended = [...ends].map(([epoch, number]) => ({ epoch, number })).sort((a, b) => b.epoch - a.epoch);
  return { epoch: to.epoch, number: to.number, ended: ended.slice(0, endedEpochsMax) };
}

/**
 * The last shipment of an epoch that is in the table, 0 when none is. Undefined when the mark does not remember it any
 * more.
 */
export function lastNumberOf(mark: Mark, epoch: number): number | undefined {
  if (epoch >= mark.epoch) return epoch === mark.epoch ? mark.number : 0;
  const found = mark.ended.find((end) => end.epoch === epoch);
  if (found !== undefined) return found.number;
  const forgotten = mark.ended.length >= endedEpochsMax && epoch < (mark.ended.at(-1)?.epoch ?? 0);
  return forgotten ? undefined : 0;
}

/** All marks of a table, and where they stand. */
export interface StoredMarks {
  readonly marks: Marks;
  /** The URI of the object that `marks` without `since` are in. */
  readonly object: string | undefined;
  /** Those in the summary. */
  readonly since: Marks;
}

const noMarks: StoredMarks = { marks: new Map(), object: undefined, since: new Map() };

/**
 * The marks of a table: of its current snapshot, or where another engine has committed since, of the nearest ancestor
 * that has some. Throws FirnError `corrupt` when a table with history has none, or their object can't be read: starting
 * over would add all rows again.
 */
export async function readMarks(table: IcebergTable, { metadata }: TableState): Promise<StoredMarks> {
  if (!metadata || metadata.snapshots.length === 0) return noMarks;
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]));
  for (let at = currentSnapshot(metadata); at; at = byId.get(at.parentSnapshotId ?? -1n)) {
    const text = at.summary[marksProperty];
    if (text === undefined) continue;
    const object = at.summary[marksObjectProperty];
    const since = parseMarks(text, table.prefix);
    if (object === undefined) return { marks: since, object, since };
    return { marks: new Map([...(await objectMarks(table, object)), ...since]), object, since };
  }
  throw lost(table.prefix, 'no snapshot of it holds them');
}

export async function marksOf(table: IcebergTable, state: TableState): Promise<Marks> {
  return (await readMarks(table, state)).marks;
}

/** The last object of each table that was read or written: they never change. */
const objects = new WeakMap<TableHead, { readonly location: string; readonly marks: Marks }>();

async function objectMarks(
  { head, store, locations, prefix }: IcebergTable,
  location: string,
): Promise<Marks> {
  const held = objects.get(head);
  if (held?.location === location) return held.marks;
  const key = locations.keyOf(location);
  let text: string;
  try {
    const { body } = await store.get(key);
    text = gunzipSync(body, { maxOutputLength: marksObjectBytesMax }).toString();
  } catch (error) {
    if (error instanceof FirnError && !hasCode(error, 'not-found')) throw error;
    throw lost(prefix, `${key} is ${error instanceof FirnError ? 'not there' : 'damaged'}`);
  }
  const marks = parseMarks(text, key);
  objects.set(head, { location, marks });
  return marks;
}

/**
 * The properties of a snapshot that moves marks. Writes an object of all of them when those that moved since the last
 * one have become too many for the summary; `name` is its own.
 */
export async function marksSummary(
  table: IcebergTable,
  before: StoredMarks,
  moved: Marks,
  name: () => string,
): Promise<Record<string, string>> {
  const since = new Map([...before.since, ...moved]);
  const text = printMarks(since);
  const objectOf = (location: string | undefined) =>
    location === undefined ? {} : { [marksObjectProperty]: location };
  if (text.length <= marksTextMax) return { [marksProperty]: text, ...objectOf(before.object) };
  const marks = new Map([...before.marks, ...moved]);
  const key = `${table.prefix}metadata/marks-${name()}.json.gz`;
  await table.store.put(key, gzipSync(printMarks(marks)));
  const location = table.locations.of(key);
  objects.set(table.head, { location, marks });
  return { [marksProperty]: '{}', ...objectOf(location) };
}

/** `{"<gateway>":"<epoch>-<number>"}`, gateways in order; ends of earlier epochs follow after a space each. */
export function printMarks(marks: Marks): string {
  const entries = [...marks].sort(([a], [b]) => (a < b ? -1 : 1));
  const print = (mark: Mark): string =>
    [mark, ...mark.ended].map(({ epoch, number }) => `${epoch}-${number}`).join(' ');
  return JSON.stringify(Object.fromEntries(entries.map(([gateway, mark]) => [gateway, print(mark)])));
}

function parseMarks(text: string, subject: string): Marks {
  const marks = new Map<string, Mark>();
  const parsed = z.record(z.string(), z.string()).safeParse(jsonOf(text));
  if (!parsed.success) throw lost(subject, `${text.slice(0, 100)} is not an object of texts`);
  for (const [gateway, value] of Object.entries(parsed.data)) {
    if (!/^\d+-\d+( \d+-\d+)*$/.test(value)) throw lost(subject, `the mark of ${gateway} is ${value}`);
    const [mark = origin, ...ended] = value.split(' ').map((position): Position => {
      const [epoch, number] = position.split('-').map(Number);
      return { epoch: epoch ?? 0, number: number ?? 0 };
    });
    marks.set(gateway, { ...mark, ended });
  }
  return marks;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Drops the marks of all but the newest snapshots. */
export function dropOldMarks(metadata: TableMetadata): TableMetadata {
  const keptFrom = metadata.snapshots.length - markedSnapshotsMax;
  return {
    ...metadata,
    snapshots: metadata.snapshots.map((snapshot, index) => {
      if (index >= keptFrom || snapshot.summary[marksProperty] === undefined) return snapshot;
      const { [marksProperty]: _, [marksObjectProperty]: __, ...summary } = snapshot.summary;
      return { ...snapshot, summary };
    }),
  };
}

function lost(subject: string, why: string): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'read high-water marks',
    subject,
    message: `the high-water marks of ${subject} cannot be read: ${why}`,
    hint: `set the property ${marksProperty} in the current snapshot's summary again, from an older metadata file`,
  });
}
