import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { hasCode } from '../../lake/base/errors.ts';
import { noFaults, type ReachFaultPoint } from '../../lake/base/fault-points.ts';
import type { IdSet } from '../../lake/base/id-set.ts';
import type { Batch, Signal } from '../../lake/model/batch.ts';
import type { GatewayId, SiteId, TenantId } from '../../lake/model/ids.ts';
import { segmentKey, segmentName } from '../../lake/model/keys.ts';
import { classOfSignal, type StreamClass } from '../../lake/model/stream-class.ts';
import type { SegmentFile, SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { seriesIdsOf } from '../../lake/schema/batch-columns.ts';
import { correctBatch } from '../clock/correct-batch.ts';
import { intactBatches, type SkippedBatch } from '../wal/intact-batches.ts';
import { openWalReader, type StoredBoot, type WalReader } from '../wal/reader.ts';
import type { SealRecord, SegmentRecord } from '../wal/wal.ts';
import { rowsOfClass } from './rows-of-class.ts';
import { openSealPlanner, type SealRange } from './seal-planner.ts';
import { segmentRecord } from './segment-record.ts';

// One seal: the oldest part of the tail becomes segment files and the record that commits them. Nothing in the WAL is
// touched here. A crash at any point leaves files that no record names; sealing the same range again writes the same
// names, and wal/recovery removes what is never written again.

export interface SealIdentity {
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly gateway: GatewayId;
}

export interface SealRequest {
  /** Part of the names of segments. */
  readonly epoch: number;
  /** Largest part of the tail to take, at least one batch. */
  readonly sealRowsMax: number;
  readonly sealBytesMax: number;
  /** Seal only when one of the two is reached. */
  readonly onlyWhenFull: boolean;
  /** Batches whose clock is not to be trusted wait for the truth, unless they were received before this. */
  readonly holdUntrustedSinceMonoUs: number;
  readonly nowUs: number;
}

export interface SealOutcome {
  /** Undefined: there is nothing to seal, or not enough. */
  readonly seal: SealRecord | undefined;
  readonly rows: number;
  /** The tail was longer than what was taken. */
  readonly more: boolean;
  /** Batches that can't become rows. They are released with the range. */
  readonly skipped: readonly SkippedBatch[];
}

export interface RangeSealer extends AsyncDisposable {
  seal(request: SealRequest): Promise<SealOutcome>;
}

export function openRangeSealer(
  walPath: string,
  dataDir: string,
  identity: SealIdentity,
  writer: SegmentWriter,
  reach: ReachFaultPoint = noFaults,
): RangeSealer {
  const reader = openWalReader(walPath);
  const planner = openSealPlanner(walPath);
  return {
    seal: async (request) => {
      const range = planner.plan(request);
      if (range === undefined || (request.onlyWhenFull && !range.full))
        return { seal: undefined, rows: 0, more: false, skipped: [] };
      const job: Job = {
        ...{ reader, dataDir, identity, writer, range, epoch: request.epoch, nowUs: request.nowUs },
        boot: reader.boots().get(range.boot) ?? { clock: 'untrusted', offsetUs: 0 },
        alarmIds: reader.alarmIds(),
        skipped: new Map(),
      };
      const segments: SegmentRecord[] = [];
      skipUnknown(job);
      for (const signal of range.signals)
        for (const streamClass of classesOf(signal, job))
          segments.push(...(await writeSegments(job, signal, streamClass)));
      reach('seal.written');
      const { fromSeq, toSeq, rows, more } = range;
      return { seal: { fromSeq, toSeq, segments }, rows, more, skipped: [...job.skipped.values()] };
    },
    [Symbol.asyncDispose]: async () => {
      reader[Symbol.dispose]();
      planner[Symbol.dispose]();
      await writer[Symbol.asyncDispose]();
    },
  };
}

interface Job {
  readonly reader: WalReader;
  readonly dataDir: string;
  readonly identity: SealIdentity;
  readonly writer: SegmentWriter;
  readonly range: SealRange;
  readonly epoch: number;
  readonly nowUs: number;
  readonly boot: StoredBoot;
  readonly alarmIds: IdSet;
  readonly skipped: Map<number, SkippedBatch>;
}

/** Batches that are in no signal's rows, because what says that they are is damaged. */
function skipUnknown({ reader, range, skipped }: Job): void {
  for (const seq of range.unknown) {
    const reason = `batch ${seq} of the log is not there, or of a signal that does not exist`;
    skipped.set(seq, { seq, signal: undefined, rows: 0, ...reader.receivedAround(seq), reason });
  }
}

function classesOf(signal: Signal, { alarmIds }: Job): StreamClass[] {
  const own = classOfSignal(signal);
  return own === 'alarms' || alarmIds.size === 0 ? [own] : ['alarms', own];
}

async function writeSegments(job: Job, signal: Signal, streamClass: StreamClass): Promise<SegmentRecord[]> {
  const { reader, dataDir, identity, writer, range, epoch } = job;
  const folder = join(dataDir, 'segments', signal);
  await mkdir(folder, { recursive: true });
  const { fromSeq, toSeq } = range;
  const apart = streamClass === 'alarms' && classOfSignal(signal) !== 'alarms';
  const pathOf = (day: string): string =>
    join(folder, segmentName({ epoch, fromSeq, toSeq, day, ...(apart && { class: 'alarms' }) }));
  const received = { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY };
  const write = (checkLabels: boolean): Promise<readonly SegmentFile[]> => {
    const batches = batchesOf(job, signal, streamClass, checkLabels, received);
    return writer.write({ signal, site: identity.site, batches, labelsOf: reader.labelsOf, pathOf });
  };
  const files = await write(false).catch((error: unknown) => {
    // Labels are looked up once for all batches; to find the ones to skip they are looked up for each.
    if (!hasCode(error, 'corrupt') || error.subject !== 'labels') throw error;
    return write(true);
  });
  return files.map((file) => {
    const { tenant, gateway } = identity;
    const key = segmentKey(tenant, gateway, signal, basename(file.path));
    return segmentRecord({
      ...{ dataDir, file, signal, class: streamClass, epoch, fromSeq, toSeq, tier: 0, clock: job.boot.clock },
      ...{ minReceivedUs: received.min, maxReceivedUs: received.max, sealedUs: job.nowUs },
      shipped: { key, columns: writer.columns },
    });
  });
}

/** The rows of one class in the range; batches whose labels are gone are skipped when `checkLabels` is set. */
function* batchesOf(
  job: Job,
  signal: Signal,
  streamClass: StreamClass,
  checkLabels: boolean,
  received: { min: number; max: number },
): Generator<Batch, void, undefined> {
  const { reader, range, alarmIds, boot } = job;
  const skip = (batch: SkippedBatch): void => void job.skipped.set(batch.seq, batch);
  for (const intact of intactBatches(reader, signal, range.fromSeq, range.toSeq, skip)) {
    const { seq, receivedUs } = intact;
    const rows = rowsOfClass(intact.batch, alarmIds, streamClass === 'alarms');
    if (rows === undefined) continue;
    const reason = checkLabels ? missingLabels(reader, rows) : undefined;
    if (reason !== undefined) {
      skip({ seq, signal, rows: rows.rows, fromUs: receivedUs, toUs: receivedUs, reason });
      continue;
    }
    const trueUs = receivedUs + boot.offsetUs;
    received.min = Math.min(received.min, trueUs);
    received.max = Math.max(received.max, trueUs);
    yield boot.offsetUs === 0 ? rows : correctBatch(rows, receivedUs, boot.offsetUs);
  }
}

function missingLabels(reader: WalReader, batch: Batch): string | undefined {
  const ids = new Set(seriesIdsOf(batch));
  const known = reader.labelsOf(ids);
  for (const id of ids) if (!known.has(id)) return `no labels are stored for ${batch.signal} id ${id}`;
  return undefined;
}
