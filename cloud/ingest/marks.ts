import { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';
import { currentSnapshot, type TableMetadata } from '../catalog/metadata.ts';
import type { TableState } from '../catalog/table.ts';

// High-water marks: per gateway the last shipment whose rows are in the table. They are a property of the snapshot
// summary, so that they move in the same atomic swap that adds the rows: exactly once.

/** A shipment's place: epochs follow one another, and within one numbers run from 1 without holes. */
export interface Position {
  readonly epoch: number;
  readonly number: number;
}
export type Marks = ReadonlyMap<string, Position>;

export const marksProperty = 'firn.high-water-marks';
/** Newest snapshots that keep their marks; older ones lose them, or metadata would hold snapshots x gateways of them. */
export const markedSnapshotsMax = 10;

export const origin: Position = { epoch: 0, number: 0 };

export const comparePositions = (a: Position, b: Position): number =>
  a.epoch - b.epoch || a.number - b.number;
export const laterOf = (a: Position, b: Position): Position => (comparePositions(a, b) < 0 ? b : a);
export const earlierOf = (a: Position, b: Position): Position => (comparePositions(a, b) < 0 ? a : b);

/**
 * The marks of a table: of its current snapshot, or where another engine has committed since, of the nearest ancestor
 * that has some. Throws FirnError `corrupt` when a table with history has none: starting over would add all rows again.
 */
export function marksOf({ metadata }: TableState, subject: string): Marks {
  if (!metadata || metadata.snapshots.length === 0) return new Map();
  const byId = new Map(metadata.snapshots.map((snapshot) => [snapshot.snapshotId, snapshot]));
  for (let at = currentSnapshot(metadata); at; at = byId.get(at.parentSnapshotId ?? -1n)) {
    const text = at.summary[marksProperty];
    if (text !== undefined) return parseMarks(text, subject);
  }
  throw lost(subject, 'no snapshot of it holds them');
}

/** `{"<gateway>":"<epoch>-<number>"}`, gateways in order. */
export function printMarks(marks: Marks): string {
  const entries = [...marks].sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(
    Object.fromEntries(entries.map(([gateway, { epoch, number }]) => [gateway, `${epoch}-${number}`])),
  );
}

function parseMarks(text: string, subject: string): Marks {
  const marks = new Map<string, Position>();
  const parsed = z.record(z.string(), z.string()).safeParse(jsonOf(text));
  if (!parsed.success) throw lost(subject, `${text.slice(0, 100)} is not an object of texts`);
  for (const [gateway, value] of Object.entries(parsed.data)) {
    const match = /^(\d+)-(\d+)$/.exec(value);
    if (!match) throw lost(subject, `the mark of ${gateway} is ${value}`);
    marks.set(gateway, { epoch: Number(match[1]), number: Number(match[2]) });
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
      const { [marksProperty]: _, ...summary } = snapshot.summary;
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
