import type { FirnError } from '../../lake/base/errors.ts';
import type { Problem, Repair } from './check-table.ts';
import { changeMetadata, commit } from './commit.ts';
import type { TableMetadata } from './metadata.ts';
import type { CatalogTable } from './table.ts';
import type { TableState } from './table-head.ts';

/** What a repair does, for people. */
export function describeRepair(repair: Repair): string {
  switch (repair.kind) {
    case 'none':
      return repair.hint;
    case 'restore-metadata':
      return 'make the newest metadata that can be read the newest again; what was committed after it is given up, and what gateways shipped since comes again from the inbox';
    case 'roll-back':
      return `go back to snapshot ${repair.snapshotId}, the newest that is whole; what gateways shipped since comes again from the inbox`;
    case 'drop-file':
      return `restore the object from a backup; or do without its ${repair.file.rows} rows`;
  }
}

/**
 * Does what the problems' repairs say, in an order in which each finds the table readable. `dropFiles`: also takes lost
 * data files out of the table. Returns what was done. Safe beside a cloud that runs: these are commits like any other.
 */
export async function repairTable(
  table: CatalogTable,
  problems: readonly Problem[],
  { dropFiles }: { readonly dropFiles: boolean },
): Promise<readonly string[]> {
  const done: string[] = [];
  if (problems.some(({ repair }) => repair.kind === 'restore-metadata')) {
    const state = await restoreMetadata(table);
    done.push(`the metadata is that of ${state.location} again, as a new version`);
  }
  const rolled = problems.flatMap(({ repair }) =>
    repair.kind === 'roll-back' ? [repair.snapshotId] : [],
  )[0];
  if (rolled !== undefined) {
    await changeMetadata(table, (metadata) => rolledBack(metadata, rolled, table.clock.nowMs()));
    done.push(`the table is back at snapshot ${rolled}`);
  }
  const lost = problems.flatMap(({ repair }) => (repair.kind === 'drop-file' ? [repair.file] : []));
  if (dropFiles && lost.length > 0 && rolled === undefined) {
    const summary = (metadata: TableMetadata | undefined) => ({
      ...firnProperties(metadata),
      operation: 'delete',
    });
    await commit(table, ({ metadata }) => ({ added: [], replaced: lost, summary: summary(metadata) }));
    done.push(`${lost.length} files are no longer in the table`);
  }
  return done;
}

/** Writes the readable metadata as the version after the one that can't be read. */
async function restoreMetadata(table: CatalogTable): Promise<TableState> {
  const state = await table.head.load(undefined);
  if (!state.metadata) throw state.fault as FirnError;
  // Numbers of commits that are given up are not given again: there is none above the version.
  const lastSequenceNumber = Math.max(state.metadata.lastSequenceNumber, state.version);
  const lastUpdatedMs = table.clock.nowMs();
  await table.head.swap(state, { ...state.metadata, lastSequenceNumber, lastUpdatedMs });
  await table.load();
  return state;
}

/** Snapshots after it are taken out: they can't be read. */
function rolledBack(metadata: TableMetadata, snapshotId: bigint, nowMs: number): TableMetadata | undefined {
  if (metadata.currentSnapshotId === snapshotId) return undefined;
  const byId = new Map(metadata.snapshots.map((each) => [each.snapshotId, each]));
  const gone = new Set<bigint>();
  for (
    let at = byId.get(metadata.currentSnapshotId ?? -1n);
    at && at.snapshotId !== snapshotId;
    at = byId.get(at.parentSnapshotId ?? -1n)
  )
    gone.add(at.snapshotId);
  const refs = Object.entries(metadata.refs).filter(([, ref]) => !gone.has(ref['snapshot-id']));
  const snapshots = metadata.snapshots.filter((each) => !gone.has(each.snapshotId));
  const log = metadata.snapshotLog.filter((entry) => !gone.has(entry.snapshotId));
  return {
    ...metadata,
    currentSnapshotId: snapshotId,
    snapshots,
    snapshotLog: [...log, { timestampMs: nowMs, snapshotId }],
    refs: {
      ...Object.fromEntries(refs),
      main: { ...metadata.refs.main, 'snapshot-id': snapshotId, type: 'branch' },
    },
  };
}

/** Marks and the like are handed on. */
function firnProperties(metadata: TableMetadata | undefined): Record<string, string> {
  const current = metadata?.snapshots.find(({ snapshotId }) => snapshotId === metadata.currentSnapshotId);
  return Object.fromEntries(
    Object.entries(current?.summary ?? {}).filter(([name]) => name.startsWith('firn.')),
  );
}
