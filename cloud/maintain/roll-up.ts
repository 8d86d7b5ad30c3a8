import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { bucketMsOf, type RollupTable } from '../../lake/model/table-name.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import type { RollUp, RollUpPiece } from '../../lake/rollups/roll-up-files.ts';
import { decodeLong } from '../catalog/bounds.ts';
import { commit } from '../catalog/commit.ts';
import { dataFileOf } from '../catalog/data-file.ts';
import { fieldIdOf } from '../catalog/initial-metadata.ts';
import type { DataFile } from '../catalog/manifest-file.ts';
import type { IcebergTable } from '../catalog/table.ts';
import { type AdvanceLimits, advance, withoutTimes } from '../rollups/advance.ts';
import {
  type BucketTimes,
  bucketOf,
  type Coverage,
  coverageOf,
  coverageProperty,
  printCoverage,
} from '../rollups/coverage.ts';
import { liveEntries } from './compact.ts';
import { checkEpoch } from './fence.ts';
import { lastExpiredDay, type RetentionRule } from './retention.ts';
import { keyOf, localPaths, mergedName, type RewriteOptions } from './rewrite.ts';

// Keeps a rollup table at what `metrics` holds: new buckets are appended, those that late or deleted rows have changed
// are made anew, whole, from the rows that there are. Files that hold such buckets are written again without them, and
// everything is committed in one snapshot together with what it stands for (cloud/rollups/coverage.ts).

export interface RollUpLimits extends AdvanceLimits {
  /** Pieces of time that one commit makes: an hour each of minutes, a day of hours. */
  readonly piecesMax: number;
}

export interface RollUpOptions extends Omit<RewriteOptions, 'limits'> {
  readonly limits: RewriteOptions['limits'] & RollUpLimits;
  /** The table `metrics` of the same tenant. */
  readonly metrics: IcebergTable;
  readonly rollUp: RollUp;
}

export interface RolledUp {
  readonly pieces: number;
  readonly rows: number;
  /** Whether there is more to do at once. */
  readonly isMore: boolean;
}

const dayMs = 86_400_000;

/** Whether there is anything to do; one request for each table when nothing is new. */
export async function hasRollUpWork(
  { metrics, table, limits }: Pick<RollUpOptions, 'metrics' | 'table' | 'limits'>,
  rollup: RollupTable,
): Promise<boolean> {
  const source = (await metrics.load()).metadata;
  if (source?.currentSnapshotId === undefined) return false;
  const before = coverageOf((await table.load()).metadata);
  const nowMs = table.clock.nowMs();
  const state = { metrics: source, fromMs: nowMs, keptBeforeMs: Number.MIN_SAFE_INTEGER };
  return before === undefined || advance(before, state, bucketMsOf[rollup], nowMs, limits).isNews;
}

/**
 * Makes the newest buckets that are due, and commits them. Throws FirnError `conflict` when another maintainer was first,
 * and what the store throws; killed at any moment it leaves at most objects that no snapshot names.
 */
export async function rollUpOnce(
  options: RollUpOptions,
  rollup: RollupTable,
  retention: readonly RetentionRule[],
): Promise<RolledUp> {
  const { metrics, table, limits } = options;
  const bucketMs = bucketMsOf[rollup];
  const source = await metrics.load();
  const nothing = { pieces: 0, rows: 0, isMore: false };
  if (source.metadata?.currentSnapshotId === undefined) return nothing;
  const samples = (await liveEntries(metrics, source)).map(({ file }) => file);
  const before = coverageOf((await table.load()).metadata);
  const nowMs = table.clock.nowMs();
  const fromMs = bucketOf(Math.min(nowMs, ...samples.map((file) => timesOf(metrics, file).fromMs)), bucketMs);
  const state = { metrics: source.metadata, fromMs, keptBeforeMs: keptBefore(retention, nowMs) };
  const { coverage, due, isNews } = advance(before, state, bucketMs, nowMs, limits);
  if (!isNews) return nothing;
  const pieces = piecesOf(
    due,
    bucketMs === bucketMsOf.metrics_rollup_1h ? dayMs : dayMs / 24,
    limits.piecesMax,
  );
  const made = await makePieces(options, rollup, pieces, samples);
  const next = withoutTimes(coverage, pieces);
  await commitPieces(options, before, next, made);
  const rows = made.added.reduce((sum, file) => sum + file.rows, 0);
  return { pieces: pieces.length, rows, isMore: pieces.length === limits.piecesMax };
}

/** Before this, whole days of metrics are to go. */
function keptBefore(retention: readonly RetentionRule[], nowMs: number): number {
  const days = retention
    .filter(({ table, selector }) => table === 'metrics' && selector.trim() === '')
    .map((rule) => (lastExpiredDay(rule, nowMs) + 1) * dayMs);
  return Math.max(Number.MIN_SAFE_INTEGER, ...days);
}

/** When the rows of a file are, by whole milliseconds; both inclusive. Without bounds, whenever. */
function timesOf({ schema }: IcebergTable, { lowerBounds, upperBounds, day }: DataFile): BucketTimes {
  const field = fieldIdOf(schema, 'timestamp');
  const [lower, upper] = [lowerBounds.get(field), upperBounds.get(field)];
  const ms = (bound: Uint8Array): number => Math.floor(Number(decodeLong(bound)) / 1000);
  if (lower && upper) return { fromMs: ms(lower), toMs: ms(upper) };
  return { fromMs: (day ?? 0) * dayMs, toMs: (day ?? 10 ** 9) * dayMs + dayMs - 1 };
}

/** Cut at whole hours or days, in the order of `due`. */
function piecesOf(due: readonly BucketTimes[], pieceMs: number, piecesMax: number): BucketTimes[] {
  const pieces: BucketTimes[] = [];
  for (const { fromMs, toMs } of due) {
    for (let end = toMs; end > fromMs && pieces.length < piecesMax; ) {
      const start = Math.max(fromMs, (Math.ceil(end / pieceMs) - 1) * pieceMs);
      pieces.push({ fromMs: start, toMs: end });
      end = start;
    }
  }
  return pieces;
}

interface Made {
  readonly added: readonly DataFile[];
  readonly replaced: readonly DataFile[];
}

async function makePieces(
  options: RollUpOptions,
  rollup: RollupTable,
  pieces: readonly BucketTimes[],
  samples: readonly DataFile[],
): Promise<Made> {
  const { table } = options;
  const days = new Set(samples.map(({ day }) => day));
  const held = (await liveEntries(table, await table.load())).map(({ file }) => file);
  const added: DataFile[] = [];
  const replaced: DataFile[] = [];
  for (const [day, ofDay] of Map.groupBy(pieces, ({ fromMs }) => Math.floor(fromMs / dayMs))) {
    const old = held.filter((file) => ofDay.some((piece) => holdsSome(table, file, piece)));
    // Where metrics has no rows any more, what is here stays.
    if (!days.has(day) && old.length > 0) continue;
    await using folder = await options.openFolder(randomUUID());
    for (const file of await rollUpPieces(options, rollup, ofDay, samples, folder.path))
      added.push(await upload(options, file));
    replaced.push(...old);
    const mixed = old.filter((file) => !ofDay.some((piece) => holdsAll(table, file, piece)));
    const rest = mixed.length > 0 && (await mergeWithout(options, mixed, ofDay, day, folder.path));
    if (rest) added.push(await upload(options, rest));
  }
  return { added, replaced };
}

const holdsSome = (table: IcebergTable, file: DataFile, piece: BucketTimes): boolean => {
  const { fromMs, toMs } = timesOf(table, file);
  return toMs >= piece.fromMs && fromMs < piece.toMs;
};
const holdsAll = (table: IcebergTable, file: DataFile, piece: BucketTimes): boolean => {
  const { fromMs, toMs } = timesOf(table, file);
  return fromMs >= piece.fromMs && toMs < piece.toMs;
};

async function rollUpPieces(
  { metrics, rollUp, limits, commitOptions }: RollUpOptions,
  rollup: RollupTable,
  pieces: readonly BucketTimes[],
  samples: readonly DataFile[],
  folder: string,
): Promise<readonly SegmentFile[]> {
  const jobs: RollUpPiece[] = [];
  for (const [index, { fromMs, toMs }] of pieces.entries()) {
    commitOptions?.signal?.throwIfAborted();
    const files = samples.filter((file) => {
      const times = timesOf(metrics, file);
      return times.toMs > fromMs && times.fromMs <= toMs;
    });
    if (files.length === 0) continue;
    const own = join(folder, `piece-${index}`);
    await mkdir(own);
    const group = { group: `samples of ${new Date(fromMs).toISOString()}`, day: 0, files, rows: 0 };
    const paths = await localPaths(metrics, group, own, limits.fetchConcurrencyMax);
    jobs.push({ from: filesSql(metrics.schema, paths), fromMs, toMs, path: join(own, 'buckets.parquet') });
  }
  if (jobs.length === 0) return [];
  const spillDirectory = join(folder, 'spill');
  return rollUp({ table: rollup, pieces: jobs, memoryBytesMax: limits.memoryBytesMax, spillDirectory });
}

/** The rows of old files that are not of the pieces. */
async function mergeWithout(
  { table, limits, merge }: RollUpOptions,
  files: readonly DataFile[],
  pieces: readonly BucketTimes[],
  day: number,
  folder: string,
): Promise<SegmentFile | undefined> {
  const rows = files.reduce((sum, file) => sum + file.rows, 0);
  const group = { group: `rollups of day ${day}`, day, files, rows };
  const own = join(folder, 'rest');
  await mkdir(join(own, 'spill'), { recursive: true });
  const { memoryBytesMax, compressionLevel } = limits;
  const merged = await merge({
    ...{ signal: table.schema.table, rows, folder: own, memoryBytesMax, compressionLevel },
    paths: await localPaths(table, group, own, limits.fetchConcurrencyMax),
    rules: pieces.map(({ fromMs, toMs }) => ({
      ...{ selector: '', fromUs: fromMs * 1000, toUs: toMs * 1000 - 1 },
    })),
  });
  return merged.file;
}

async function upload(
  { table, epoch, commitOptions = {} }: RollUpOptions,
  file: SegmentFile,
): Promise<DataFile> {
  const name = (commitOptions.uuid ?? randomUUID)();
  const key = `${table.prefix}data/${file.day}/${mergedName(epoch, name)}`;
  await table.store.putFile(key, file.path);
  return dataFileOf({ ...file, key, signal: table.schema.table }, table.locations);
}

async function commitPieces(
  { table, epoch, commitOptions }: RollUpOptions,
  before: Coverage | undefined,
  next: Coverage,
  { added, replaced }: Made,
): Promise<void> {
  const expected = before && printCoverage(before);
  try {
    await commit(
      table,
      ({ metadata }) => {
        if (metadata) checkEpoch(table, metadata, epoch);
        const found = coverageOf(metadata);
        if ((found && printCoverage(found)) !== expected) throw superseded(table);
        const operation = replaced.length === 0 ? 'append' : 'overwrite';
        return { added, replaced, summary: { operation, [coverageProperty]: printCoverage(next) } };
      },
      commitOptions,
    );
  } catch (error) {
    if (hasCode(error, 'conflict')) for (const file of added) await table.store.delete(keyOf(table, file));
    throw error;
  }
}

function superseded({ prefix }: IcebergTable): FirnError {
  return new FirnError({
    code: 'conflict',
    operation: 'roll up metrics',
    subject: prefix,
    message: `${prefix} was rolled up by another maintainer meanwhile`,
  });
}
