import { randomUUID } from 'node:crypto';
import { FirnError } from '../../lake/base/errors.ts';
import type { ShipmentManifest } from '../../lake/model/manifest.ts';
import { type CommitOptions, commit } from '../catalog/commit.ts';
import { dataFileOf } from '../catalog/data-file.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import type { IcebergTable } from '../catalog/table.ts';
import type { TableState } from '../catalog/table-head.ts';
import {
  comparePositions,
  dropOldMarks,
  type Mark,
  type Marks,
  marksSummary,
  moveMark,
  noMark,
  origin,
  type Position,
  readMarks,
} from './marks.ts';

/** An accepted shipment and its place. */
export interface Shipment {
  readonly position: Position;
  /** Without the segments that were left out. */
  readonly manifest: ShipmentManifest;
  /** It names, or named, segments of an earlier epoch. */
  readonly repeats: boolean;
}

/** What one commit to one table is made of. */
export interface ShipmentBatch {
  /**
   * Per gateway: everything up to `to` is in `shipments`, or was looked at before and holds nothing more for this table
   * than `seen`, the mark found when looking.
   */
  readonly progress: ReadonlyMap<string, { readonly seen: Position; readonly to: Position }>;
  readonly shipments: readonly Shipment[];
  /** Move marks even when there is no file to add. */
  readonly marksOnly: boolean;
}

export interface CommittedBatch {
  readonly state: TableState;
  /** The marks that this commit was made on. */
  readonly before: Marks;
  /** Files, rows, and bytes of files, added by this call; 0 when another process had added them. */
  readonly files: number;
  readonly rows: number;
  readonly bytes: number;
}

export type CommitShipments = typeof commitShipments;

/**
 * Adds the segments of all shipments after the table's marks, and moves the marks, in one snapshot. Safe to repeat and
 * to race: whatever the newest marks cover is left out. Throws FirnError `conflict` when marks went backwards.
 */
export async function commitShipments(
  table: IcebergTable,
  batch: ShipmentBatch,
  options: CommitOptions = {},
): Promise<CommittedBatch> {
  let added: readonly DataFile[] = [];
  let before: Marks = new Map();
  const state = await commit(
    table,
    async (current) => {
      const stored = await readMarks(table, current);
      const { marks } = stored;
      before = marks;
      checkForward(marks, batch, table);
      checkUnmoved(marks, batch, table);
      added = filesAfter(marks, batch, table);
      if (added.length === 0 && !batch.marksOnly) return undefined;
      const moved = movedMarks(marks, batch);
      if (added.length === 0 && moved.size === 0) return undefined;
      const summary = await marksSummary(table, stored, moved, options.uuid ?? randomUUID);
      return { added, summary, finish: dropOldMarks };
    },
    options,
  );
  const rows = added.reduce((sum, file) => sum + file.rows, 0);
  const bytes = added.reduce((sum, file) => sum + file.bytes, 0);
  return { state, before, files: added.length, rows, bytes };
}

function movedMarks(marks: Marks, { progress, shipments }: ShipmentBatch): Marks {
  const taken = Map.groupBy(shipments, ({ manifest }) => manifest.gateway);
  const moved = new Map<string, Mark>();
  for (const [gateway, { to }] of progress) {
    const mark = marks.get(gateway) ?? noMark;
    const positions = taken.get(gateway)?.map(({ position }) => position) ?? [];
    const next = moveMark(mark, to, positions);
    if (next !== mark) moved.set(gateway, next);
  }
  return moved;
}

function filesAfter(marks: Marks, batch: ShipmentBatch, table: IcebergTable): DataFile[] {
  return batch.shipments
    .filter(({ position, manifest }) => comparePositions(position, marks.get(manifest.gateway) ?? origin) > 0)
    .flatMap(({ manifest }) => manifest.segments)
    .filter(({ signal }) => signal === table.schema.table)
    .map((segment) => dataFileOf(segment, table.locations));
}

/** Marks behind those that were seen mean that the table was rolled back: what lies between is not in this batch. */
function checkForward(marks: Marks, { progress }: ShipmentBatch, table: IcebergTable): void {
  for (const [gateway, { seen }] of progress) {
    if (comparePositions(marks.get(gateway) ?? origin, seen) >= 0) continue;
    throw new FirnError({
      code: 'conflict',
      operation: 'commit shipments',
      subject: table.prefix,
      message: `${table.prefix} was rolled back: the mark of gateway ${gateway} is behind what it was`,
    });
  }
}

/**
 * What a shipment repeats from before was left out by the marks of then. Where another process has moved them since, to
 * somewhere before the shipment, it may have taken the same segments from yet another one.
 */
function checkUnmoved(marks: Marks, { progress, shipments }: ShipmentBatch, table: IcebergTable): void {
  for (const { position, manifest, repeats } of shipments) {
    const mark = marks.get(manifest.gateway) ?? origin;
    const seen = progress.get(manifest.gateway)?.seen ?? origin;
    if (!repeats || comparePositions(mark, seen) <= 0 || comparePositions(position, mark) <= 0) continue;
    throw new FirnError({
      code: 'conflict',
      operation: 'commit shipments',
      subject: table.prefix,
      message: `another process took shipments of gateway ${manifest.gateway} meanwhile`,
    });
  }
}
