import { mkdir } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import Database from 'better-sqlite3';
import { hasCode } from '../../lake/base/errors.ts';
import type { Batch, Signal } from '../../lake/model/batch.ts';
import { signals } from '../../lake/model/batch.ts';
import type { GatewayId, SiteId, TenantId } from '../../lake/model/ids.ts';
import { segmentKey, segmentName } from '../../lake/model/keys.ts';
import type { ManifestSegment1 } from '../../lake/model/manifest.ts';
import type { SegmentFile, SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { intactBatches, type SkippedBatch } from '../wal/intact-batches.ts';
import { openWalReader, type WalReader } from '../wal/reader.ts';
import type { SealRecord, SegmentRecord } from '../wal/wal.ts';

// One seal: the oldest part of the tail becomes segment files and the record that commits them. Nothing in the WAL is
// touched here. A crash at any point leaves files that no record names; sealing the same range again writes the same
// names, and leftovers.ts removes what is never written again.

export interface SealIdentity {
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly gateway: GatewayId;
  readonly epoch: number;
}

export interface SealRequest {
  /** Largest part of the tail to take, at least one batch. */
  readonly sealRowsMax: number;
  readonly sealBytesMax: number;
  /** Seal only when one of the two is reached. */
  readonly onlyWhenFull: boolean;
  readonly nowUs: number;
}

export interface SealOutcome {
  /** Undefined: there is nothing to seal, or not enough. */
  readonly seal: SealRecord | undefined;
  readonly rows: number;
  /** The tail was longer than the limits. */
  readonly more: boolean;
  /** Batches that can't become rows. They are released with the range. */
  readonly skipped: readonly SkippedBatch[];
}

export interface RangeSealer extends AsyncDisposable {
  seal(request: SealRequest): Promise<SealOutcome>;
}

/** Descriptions of metrics in one manifest; the rest goes with the next. */
const manifestMetadataMax = 5000;

interface Range {
  readonly number: number;
  readonly fromSeq: number;
  readonly toSeq: number;
  readonly rows: number;
  readonly full: boolean;
}

export function openRangeSealer(
  walPath: string,
  dataDir: string,
  identity: SealIdentity,
  writer: SegmentWriter,
): RangeSealer {
  const reader = openWalReader(walPath);
  const planner = openPlanner(walPath);
  return {
    seal: async (request) => {
      const range = planner.plan(request);
      if (range === undefined || (request.onlyWhenFull && !range.full))
        return { seal: undefined, rows: 0, more: false, skipped: [] };
      const skipped = new Map<number, SkippedBatch>();
      const written: Written[] = [];
      for (const signal of signals)
        written.push(...(await writeSignal(reader, dataDir, identity, writer, signal, range, skipped)));
      const seal = recordOf(reader, dataDir, identity, writer, range, written, request.nowUs);
      return { seal, rows: range.rows, more: range.full, skipped: [...skipped.values()] };
    },
    [Symbol.asyncDispose]: async () => {
      reader[Symbol.dispose]();
      planner[Symbol.dispose]();
      await writer[Symbol.asyncDispose]();
    },
  };
}

interface Planner extends Disposable {
  plan(limits: SealRequest): Range | undefined;
}

/** Looks only at the sizes of batches, never at their content. */
function openPlanner(walPath: string): Planner {
  const db = new Database(walPath, { readonly: true, fileMustExist: true, timeout: 5000 });
  const newest = db.prepare<[], { number: number; toSeq: number }>(
    'SELECT number, to_seq AS toSeq FROM shipment ORDER BY number DESC LIMIT 1',
  );
  const sizes = db.prepare<[number], { seq: number; rows: number; bytes: number }>(
    'SELECT seq, rows, length(payload) AS bytes FROM batch WHERE seq > ? ORDER BY seq',
  );
  return {
    plan: ({ sealRowsMax, sealBytesMax }) => {
      const last = newest.get() ?? { number: 0, toSeq: 0 };
      let [toSeq, rows, bytes, full] = [last.toSeq, 0, 0, false];
      for (const batch of sizes.iterate(last.toSeq)) {
        full = toSeq > last.toSeq && (rows + batch.rows > sealRowsMax || bytes + batch.bytes > sealBytesMax);
        if (full) break;
        toSeq = batch.seq;
        rows += batch.rows;
        bytes += batch.bytes;
      }
      return toSeq === last.toSeq
        ? undefined
        : { number: last.number + 1, fromSeq: last.toSeq, toSeq, rows, full };
    },
    [Symbol.dispose]: () => void db.close(),
  };
}

type Written = SegmentFile & { readonly signal: Signal };

async function writeSignal(
  reader: WalReader,
  dataDir: string,
  { epoch, site }: SealIdentity,
  writer: SegmentWriter,
  signal: Signal,
  range: Range,
  skipped: Map<number, SkippedBatch>,
): Promise<Written[]> {
  const folder = join(dataDir, 'segments', signal);
  await mkdir(folder, { recursive: true });
  const { fromSeq, toSeq } = range;
  const pathOf = (day: string): string => join(folder, segmentName({ epoch, fromSeq, toSeq, day }));
  const { labelsOf } = reader;
  const write = (checkLabels: boolean): Promise<readonly SegmentFile[]> => {
    const batches = batchesOf(reader, signal, range, checkLabels, (batch) => skipped.set(batch.seq, batch));
    return writer.write({ signal, site, batches, labelsOf, pathOf });
  };
  try {
    return (await write(false)).map((file) => ({ ...file, signal }));
  } catch (error) {
    // Labels are looked up once for all batches; to find the ones to skip they are looked up for each.
    if (!hasCode(error, 'corrupt') || error.subject !== 'labels') throw error;
    return (await write(true)).map((file) => ({ ...file, signal }));
  }
}

/** Batches of the range; those whose labels are gone are skipped when `checkLabels` is set. */
function* batchesOf(
  reader: WalReader,
  signal: Signal,
  { fromSeq, toSeq }: Range,
  checkLabels: boolean,
  skip: (batch: SkippedBatch) => void,
): Generator<Batch, void, undefined> {
  for (const { seq, batch } of intactBatches(reader, signal, fromSeq, toSeq, skip)) {
    const reason = checkLabels ? missingLabels(reader, batch) : undefined;
    if (reason === undefined) yield batch;
    else skip({ seq, rows: batch.rows, reason });
  }
}

function missingLabels(reader: WalReader, batch: Batch): string | undefined {
  const ids = new Set(batch.signal === 'metrics' ? batch.seriesId : batch.streamId);
  const known = reader.labelsOf(ids);
  for (const id of ids) if (!known.has(id)) return `no labels are stored for ${batch.signal} id ${id}`;
  return undefined;
}

function recordOf(
  reader: WalReader,
  dataDir: string,
  { epoch, ...identity }: SealIdentity,
  writer: SegmentWriter,
  { number, fromSeq, toSeq }: Range,
  written: readonly Written[],
  nowUs: number,
): SealRecord {
  const metadata = reader.unshippedMetadata().slice(0, manifestMetadataMax);
  const segments = written.map((file): ManifestSegment1 => {
    const { signal, day, rows, bytes, sha256, minTimestampUs, maxTimestampUs, bounds } = file;
    const key = segmentKey(identity.tenant, identity.gateway, signal, basename(file.path));
    const times = { minTimestampUs, maxTimestampUs };
    return { key, signal, day, rows, bytes, sha256, ...times, bounds, columns: writer.columns };
  });
  const plain = metadata.map(({ name, type, help, unit }) => ({ name, type, help, unit }));
  const range = { epoch, number, fromSeq, toSeq, sealedUs: nowUs };
  return {
    manifest: { format: 1, ...identity, ...range, segments, metadata: plain },
    segments: written.map((file) => segmentRecord(dataDir, file, file.signal, number, 0)),
    metadataVersions: metadata.map(({ name, version }) => [name, version] as const),
  };
}

/** The row of the `segment` table for a file; paths in it are relative, with `/`. */
export function segmentRecord(
  dataDir: string,
  file: SegmentFile,
  signal: Signal,
  shipment: number | null,
  tier: number,
): SegmentRecord {
  const { day, rows, bytes, minTimestampUs, maxTimestampUs, bounds } = file;
  return {
    path: relative(dataDir, file.path).replaceAll('\\', '/'),
    signal,
    day,
    shipment,
    tier,
    rows,
    bytes,
    minTimestampUs,
    maxTimestampUs,
    minName: bounds.name?.min ?? null,
    maxName: bounds.name?.max ?? null,
  };
}
