import type { TableName } from '../../lake/model/table-name.ts';
import { dayText } from '../../lake/schema/tables.ts';
import type { Prune } from '../../lake/tables.ts';
import type { ScanPlan } from './plan-scan.ts';

/** A plan as JSON has it. 64-bit ids are text. */
export interface PlanJson {
  readonly table: TableName;
  /** What was asked for, as far as it restricts. */
  readonly asked: Readonly<Record<string, string>>;
  readonly snapshot: { readonly id: string; readonly committed: string; readonly operation: string } | null;
  /** Why this is not the newest state, where it is not. */
  readonly fault?: string;
  readonly manifests: { readonly considered: number; readonly read: number };
  readonly files: {
    readonly considered: number;
    readonly read: number;
    /** Files that were left out, by what showed that they hold no row. */
    readonly prunedBy: Readonly<Record<string, number>>;
  };
  /** Of the files that are read; an engine reads of them the columns and row groups that it needs. */
  readonly rows: number;
  readonly bytes: number;
  /** The first of them. */
  readonly reads: readonly { path: string; day: string | null; rows: number; bytes: number }[];
}

/** Files that a printed plan names. */
const filesShownMax = 1_000;

export function planJson(table: TableName, prune: Prune, plan: ScanPlan): PlanJson {
  const { snapshot, fault, files } = plan;
  const sum = (of: 'rows' | 'bytes'): number => files.reduce((total, file) => total + file[of], 0);
  return {
    table,
    asked: askedOf(prune),
    snapshot: snapshot
      ? {
          id: String(snapshot.snapshotId),
          committed: new Date(snapshot.timestampMs).toISOString(),
          operation: snapshot.summary.operation ?? '',
        }
      : null,
    ...(fault && { fault: fault.message }),
    manifests: { considered: plan.manifestsConsidered, read: plan.manifestsRead },
    files: {
      considered: plan.filesConsidered,
      read: files.length,
      prunedBy: Object.fromEntries(plan.prunedBy),
    },
    rows: sum('rows'),
    bytes: sum('bytes'),
    reads: files.slice(0, filesShownMax).map(({ path, day, rows, bytes }) => ({
      ...{ path, day: day === undefined ? null : dayText(day), rows, bytes },
    })),
  };
}

function askedOf({ fromUs, toUs, name, seriesId, traceId, asOf }: Prune): Record<string, string> {
  const time = (us: number): string => new Date(us / 1000).toISOString();
  const state = (): string => {
    if (asOf?.kind === 'time') return time(asOf.us);
    return asOf?.kind === 'tag' ? `tag:${asOf.name}` : `snapshot:${asOf?.id}`;
  };
  return {
    ...(fromUs !== undefined && { from: time(fromUs) }),
    ...(toUs !== undefined && { to: time(toUs) }),
    ...(name !== undefined && { name }),
    ...(seriesId !== undefined && { series_id: String(seriesId) }),
    ...(traceId !== undefined && { trace_id: traceId }),
    ...(asOf && { as_of: state() }),
  };
}

/** The same for people. */
export function planText(plan: PlanJson): string {
  const { snapshot, manifests, files } = plan;
  const asked = Object.entries(plan.asked).map(([name, value]) => `${name} = ${value}`);
  const pruned = Object.entries(files.prunedBy).map(([reason, count]) => `${count} by ${reason}`);
  const lines = [
    `scan ${plan.table}${asked.length > 0 ? ` where ${asked.join(', ')}` : ''}`,
    snapshot
      ? `  snapshot ${snapshot.id} (${snapshot.operation}) of ${snapshot.committed}`
      : '  no snapshot: the table is empty',
    ...(plan.fault === undefined ? [] : [`  not the newest state: ${plan.fault}`]),
    `  manifests: ${manifests.read} of ${manifests.considered} read`,
    `  files: ${files.read} of ${files.considered} read${pruned.length > 0 ? `, pruned: ${pruned.join(', ')}` : ''}`,
    `  ${plan.rows} rows, ${plan.bytes} bytes`,
    ...plan.reads.map(({ path, rows, bytes }) => `    ${path} (${rows} rows, ${bytes} bytes)`),
    ...(files.read > plan.reads.length ? [`    and ${files.read - plan.reads.length} more`] : []),
  ];
  return `${lines.join('\n')}\n`;
}
