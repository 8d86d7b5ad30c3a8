import { FirnError } from '../../lake/base/errors.ts';
import type { AsOf } from '../../lake/tables.ts';
import { currentSnapshot, type Snapshot, type TableMetadata } from './metadata.ts';

// Time travel (specification, "Point in Time Reads"): a snapshot by its id, by a tag, or by the time at which it was the
// current one.

/**
 * The snapshot to read; undefined for a table without one. Throws FirnError `not-found`, with what there is, when it was
 * never there or has expired.
 */
export function snapshotAt(metadata: TableMetadata, asOf: AsOf | undefined): Snapshot | undefined {
  if (asOf === undefined) return currentSnapshot(metadata);
  const byId = (id: bigint | undefined) => metadata.snapshots.find(({ snapshotId }) => snapshotId === id);
  switch (asOf.kind) {
    case 'snapshot':
      return byId(asOf.id) ?? missing(metadata, `snapshot ${asOf.id}`, snapshotHint(metadata));
    case 'tag': {
      const id = metadata.refs[asOf.name]?.['snapshot-id'];
      return byId(id) ?? missing(metadata, `tag ${JSON.stringify(asOf.name)}`, tagHint(metadata));
    }
    case 'time': {
      const atMs = Math.floor(asOf.us / 1000);
      const entry = metadata.snapshotLog.findLast(({ timestampMs }) => timestampMs <= atMs);
      const time = new Date(atMs);
      const text = Number.isNaN(time.getTime()) ? `${asOf.us} µs` : time.toISOString();
      return byId(entry?.snapshotId) ?? missing(metadata, `state at ${text}`, timeHint(metadata));
    }
  }
}

function missing({ location }: TableMetadata, what: string, hint: string): never {
  throw new FirnError({
    code: 'not-found',
    operation: 'find snapshot',
    subject: location,
    message: `${location} has no ${what}, or no longer`,
    hint,
  });
}

const timeHint = ({ snapshotLog: [oldest] }: TableMetadata): string =>
  oldest
    ? `the oldest state that is kept is of ${new Date(oldest.timestampMs).toISOString()}`
    : 'the table has no history';

const shownMax = 5;
function snapshotHint({ snapshots }: TableMetadata): string {
  const newest = snapshots.slice(-shownMax).map(({ snapshotId }) => snapshotId);
  return `it has ${snapshots.length} snapshots, the newest are ${newest.join(', ')}`;
}

function tagHint({ refs }: TableMetadata): string {
  const names = Object.keys(refs).filter((name) => refs[name]?.type === 'tag');
  return names.length === 0 ? 'it has no tags' : `its tags are ${names.sort().join(', ')}`;
}
