import { setImmediate } from 'node:timers/promises';
import type { Clock } from '../../../lake/base/clock.ts';
import { messageOf } from '../../../lake/base/errors.ts';
import type { Logger } from '../../../lake/base/log.ts';
import type { Signal } from '../../../lake/model/batch.ts';
import type { Gap } from '../../../lake/model/gap.ts';
import type { GatewayId, TenantId } from '../../../lake/model/ids.ts';
import { gapsBatch } from '../../../lake/receive/gaps-builder.ts';
import { openWalReader, type WalReader } from '../reader.ts';
import type { SegmentRecord, Wal } from '../wal.ts';
import { filesOf, finishJob, type RecoveryJob, recoveryJobs } from './damaged-folder.ts';
import { shippedOfFormat1 } from './format-1.ts';
import { lostBatches, unknownLoss } from './lost-batches.ts';
import { type FoundFile, planReconcile, type ReconcilePlan } from './plan-reconcile.ts';
import { openParquetContents, openSegmentInspector, type SegmentInspector } from './read-segment.ts';
import { jobDone, type RestoredPart } from './restored-part.ts';
import { settlePlaces, storedPlaces } from './restored-places.ts';
import { type Salvaged, type SalvageStep, type Survey, salvageBatches, surveyDamaged } from './salvage.ts';
import {
  findSegmentFiles,
  gapOfMissing,
  gapOfUnreadable,
  moveToDamaged,
  namedSegments,
  removeFiles,
  rowsBySignal,
} from './segment-files.ts';
import type { SeqRange } from './seq-set.ts';

// The work that an anomaly of the log leaves behind (start-log.ts): what can be read of the old log comes into the new
// one, segment files are taken over, and what is lost becomes rows of the table `gaps`. Each step is one transaction
// with how far the work is; killed at any point, it goes on from there at the next start.

export interface RecoveryOptions {
  readonly wal: Wal;
  /** Absolute. */
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly gateway: GatewayId;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Files of damaged logs that are kept for a person to look at: so many logs, and so many bytes. */
  readonly damagedKept?: number;
  readonly damagedBytesMax?: number;
  /** Opens what looks into segment files, when the first is to be read. */
  readonly openContents?: typeof openParquetContents;
}

const recoveryDefaults = {
  damagedKept: 3,
  damagedBytesMax: 512 * 1024 * 1024,
  openContents: openParquetContents,
} as const;

export interface Recovery extends AsyncDisposable {
  /** Resolves when nothing is left to do, or when it is disposed. Never rejects: what failed is logged and tried again at the next start. */
  readonly finished: Promise<void>;
  readonly status: RecoveryStatus;
}

interface RecoveryStatus {
  readonly jobsLeft: number;
  readonly restoredBatches: number;
  readonly restoredRows: number;
  readonly adoptedFiles: number;
  readonly gapRows: number;
}

interface Work extends Required<RecoveryOptions> {
  readonly reader: WalReader;
  /** The newest first. */
  readonly jobs: readonly RecoveryJob[];
  readonly status: { -readonly [K in keyof RecoveryStatus]: RecoveryStatus[K] };
  readonly stop: AbortSignal;
  /** Opened when it is needed first. */
  readonly inspector: () => Promise<SegmentInspector>;
}

/** Bytes of batches that are restored before the sealer has to follow. */
const unsealedBytesMax = 32 * 1024 * 1024;
const followMsMax = 60_000;
const followCheckMs = 100;
const adoptedAtOnce = 20;

/**
 * Runs after the log is open and before anything seals, merges or is received: removes what a crash left behind, and
 * settles what the sealer must not meet. The rest goes on in the background.
 */
export async function startRecovery(options: RecoveryOptions): Promise<Recovery> {
  const { dataDir, wal, openContents } = { ...recoveryDefaults, ...options };
  const stop = new AbortController();
  const reader = openWalReader(wal.path);
  let inspector: Promise<SegmentInspector> | undefined;
  // The newest first: the log that was damaged last knows how far the work on those before it was.
  const jobs = recoveryJobs(dataDir)
    .filter(({ record }) => record.state === 'pending')
    .reverse();
  const work: Work = {
    ...{ ...recoveryDefaults, ...options, reader, jobs, stop: stop.signal },
    status: { jobsLeft: jobs.length, restoredBatches: 0, restoredRows: 0, adoptedFiles: 0, gapRows: 0 },
    inspector: () => {
      inspector ??= openContents().then((contents) => openSegmentInspector(options, contents));
      return inspector;
    },
  };
  await removeLeftovers(work);
  for (const job of jobs)
    if (!job.record.aside && reader.restored(job.name) === 0) await settleLastSeal(work, job);
  settleRunningLog(work);
  const finished = runJobs(work).finally(async () => {
    await (await inspector?.catch(() => undefined))?.[Symbol.asyncDispose]();
    reader[Symbol.dispose]();
  });
  return {
    finished,
    status: work.status,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await finished;
    },
  };
}

async function runJobs(work: Work): Promise<void> {
  for (const job of work.jobs) {
    const { reasons, aside } = job.record;
    work.logger.warn('recovering from an anomaly of the log', { job: job.name, aside, reasons });
    try {
      const lost = work.reader.restored(job.name) === jobDone ? true : await runJob(work, job);
      if (work.stop.aborted) return;
      finishJob(work.dataDir, job, lost && !job.record.migration, work);
      work.status.jobsLeft--;
      work.logger.info('recovered', { job: job.name, ...work.status });
    } catch (error) {
      work.logger.error('could not recover; trying again at the next start', {
        job: job.name,
        error: messageOf(error),
      });
      return;
    }
  }
}

/** Returns whether something is lost. */
async function runJob(work: Work, job: RecoveryJob): Promise<boolean> {
  const gaps: Gap[] = [];
  if (job.record.aside) gaps.push(...(await salvage(work, job)));
  else {
    await adoptFiles(work, job, planFor(work, job, job.record.sealedSeq), new Set());
    gaps.push(...unknownLoss(job.record, job.record.fromUs));
  }
  if (work.stop.aborted) return true;
  await restore(work, job, { cursor: jobDone, gaps: asBatches(work, gaps) });
  work.status.gapRows += gaps.length;
  return gaps.length > 0;
}

// --- before anything else runs

/** Temporary files, and segments of the running epoch whose seal or merge was not committed or that were to go. */
async function removeLeftovers(work: Work): Promise<void> {
  const { dataDir, reader, logger, jobs } = work;
  const { files, others } = findSegmentFiles(dataDir);
  const named = namedSegments(reader);
  const paths = new Set(named.map(({ path }) => path));
  const newest = Math.max(0, ...jobs.map(({ epoch }) => epoch));
  const left = files.filter(({ path, place }) => !paths.has(path) && place.epoch >= newest);
  await removeFiles(dataDir, [...others, ...left.map(({ path }) => path)]);
  if (others.length + left.length > 0)
    logger.info('removed files of seals and merges that were not finished', {
      files: others.length + left.length,
    });
  if (jobs.length > 0) return;
  const there = new Set(files.map(({ path }) => path));
  await forgetGone(
    work,
    'files',
    0,
    named.filter(({ path }) => !there.has(path)),
  );
}

/** Rows of the table whose files are gone. */
async function forgetGone(
  work: Work,
  job: string,
  cursor: number,
  gone: readonly SegmentRecord[],
): Promise<void> {
  if (gone.length === 0) return;
  const gaps = gone.filter(({ committed }) => !committed).map(gapOfMissing);
  const removedSegments = gone.map(({ path }) => path);
  await work.wal.restore({ job, cursor, removedSegments, gaps: asBatches(work, gaps) });
  work.status.gapRows += gaps.length;
  if (gaps.length > 0)
    work.logger.error('segment files are missing that were not shipped', {
      files: gaps.length,
      first: gone[0]?.path,
    });
}

/**
 * The log is still in use, but may have lost its last commits, a seal among them: then either the files of that seal
 * hold its rows or the log does.
 */
async function settleLastSeal(work: Work, job: RecoveryJob): Promise<void> {
  const { reader, dataDir } = work;
  const plan = planFor(work, job, Math.max(job.record.sealedSeq, reader.sealedSeq()));
  if (plan.last.length === 0) {
    if (plan.sealedSeq > reader.sealedSeq())
      await restore(work, job, { cursor: 0, sealedSeq: plan.sealedSeq });
    return;
  }
  const upto = Math.max(...plan.last.map(({ place }) => place.toSeq));
  const records = await readAll(work, plan.last);
  const inFiles = records.reduce((sum, { rows }) => sum + rows, 0);
  if (inFiles > 0 && inFiles >= reader.rowsBetween(plan.sealedSeq, upto)) {
    await restore(work, job, { cursor: 0, addedSegments: records, sealedSeq: upto });
    return;
  }
  await restore(work, job, { cursor: 0, sealedSeq: plan.sealedSeq });
  await removeFiles(
    dataDir,
    plan.last.map(({ path }) => path),
  );
}

/** Of what older jobs had brought back: what is in files is stored, what was not sealed when the end of the log was lost is not. */
function settleRunningLog({ jobs, reader, wal }: Work): void {
  const aside = jobs.filter(({ record }) => record.aside);
  const from = aside[0]?.epoch;
  if (from === undefined) return;
  const sealedSeq = reader.sealedSeq();
  for (const { folder } of aside)
    settlePlaces(folder, { from, to: wal.epoch }, (place) => place <= sealedSeq);
}

// --- the old log

/** Brings back what can be read; returns what is lost. */
async function salvage(work: Work, job: RecoveryJob): Promise<Gap[]> {
  const files = filesOf(job);
  const cursor = work.reader.restored(job.name);
  let plan = planFor(work, job, job.record.sealedSeq);
  const range = lastRange(plan);
  const survey = await drive(
    work,
    surveyDamaged(files, { range, lastSeq: job.record.lastSeq }),
    async ({ series, metadata }) => {
      if (series.length + metadata.length > 0) await restore(work, job, { cursor, series, metadata });
    },
  );
  if (survey === undefined) return [];
  await carryOver(work, job, survey);
  // Without a mark, the log's own word counts when a file bears it out.
  const itsOwn = survey.sealedSeq;
  if (plan.last.some(({ place }) => place.toSeq === itsOwn)) plan = planFor(work, job, itsOwn);
  const sealedSignals = await settleLastFiles(work, plan, range, survey);
  const salvaged = await salvageTail(work, job, plan, sealedSignals, survey);
  if (salvaged === undefined) return [];
  const older = work.jobs.slice(work.jobs.indexOf(job) + 1).filter(({ record }) => record.aside);
  const isStored = (place: number): boolean =>
    place <= plan.sealedSeq ||
    salvaged.found.has(place) ||
    (sealedSignals.size > 0 && place <= (range?.upto ?? 0));
  for (const { folder } of older)
    settlePlaces(folder, { from: older[0]?.epoch ?? 0, to: job.epoch }, isStored);
  await adoptFiles(work, job, plan, sealedSignals);
  const gaps = lostBatches(job.record, plan.sealedSeq, salvaged);
  return job.record.migration && salvaged.doubtful.size === 0 ? [] : gaps;
}

/** What the log that is lost had brought back of those before it. */
async function carryOver({ jobs, reader, wal }: Work, job: RecoveryJob, survey: Survey): Promise<void> {
  for (const { name } of jobs.slice(jobs.indexOf(job) + 1)) {
    const cursor = survey.jobs.get(name) ?? 0;
    if (cursor > reader.restored(name)) await wal.restore({ job: name, cursor });
  }
}

function lastRange({ last, sealedSeq }: ReconcilePlan): SeqRange | undefined {
  if (last.length === 0) return undefined;
  return { after: sealedSeq, upto: Math.max(...last.map(({ place }) => place.toSeq)) };
}

/** Signals of the last seal whose rows are taken from its files, because they hold no fewer than the log; the files of the others are removed. */
async function settleLastFiles(
  { dataDir, ...work }: Work,
  plan: ReconcilePlan,
  range: SeqRange | undefined,
  { rowsInRange }: Survey,
): Promise<Set<Signal>> {
  const complete = new Set<Signal>();
  if (range === undefined) return complete;
  const inFiles = rowsBySignal(await readAll({ dataDir, ...work }, plan.last));
  for (const [signal, rows] of inFiles) if (rows >= (rowsInRange.get(signal) ?? 0)) complete.add(signal);
  const others = plan.last.filter(({ signal }) => !complete.has(signal));
  await removeFiles(
    dataDir,
    others.map(({ path }) => path),
  );
  return complete;
}

async function salvageTail(
  work: Work,
  job: RecoveryJob,
  plan: ReconcilePlan,
  sealedSignals: ReadonlySet<Signal>,
  { boots }: Survey,
): Promise<Salvaged | undefined> {
  const range = lastRange(plan);
  const steps = salvageBatches(filesOf(job), {
    wanted: (seq) => seq > plan.sealedSeq,
    cursor: work.reader.restored(job.name),
    isStored: storedPlaces(job.folder).has,
    lastSeq: job.record.lastSeq,
    sealedInRange: range === undefined ? undefined : { range, signals: sealedSignals },
  });
  let unsealedBytes = 0;
  return drive(work, steps, async ({ batches, cursor }) => {
    if (batches.length === 0) return;
    const withBoots = batches.map(({ boot, ...batch }) => ({
      ...batch,
      boot: boot === null ? undefined : boots.get(boot),
    }));
    unsealedBytes += batches.reduce((sum, { payload }) => sum + payload.byteLength, 0);
    await restore(work, job, { cursor, batches: withBoots }); // gives the payloads away
    work.status.restoredBatches += batches.length;
    work.status.restoredRows += batches.reduce((sum, { rows }) => sum + rows, 0);
    if (unsealedBytes < unsealedBytesMax) return;
    unsealedBytes = 0;
    await sealerFollows(work);
  });
}

/** Waits until what was restored is sealed (or can't be for now), so that an old log does not pile up in the new one. */
async function sealerFollows({ reader, clock, stop }: Work): Promise<void> {
  const upto = reader.lastSeq();
  const deadlineMs = clock.monotonicMs() + followMsMax;
  while (!stop.aborted && reader.sealedSeq() < upto && clock.monotonicMs() < deadlineMs)
    await clock.sleep(followCheckMs, stop).catch(() => undefined);
}

/** Runs the steps and lets others run between them. Undefined: it was stopped. */
async function drive<R>(
  { stop }: Work,
  steps: Generator<SalvageStep, R, undefined>,
  store: (step: SalvageStep) => Promise<void>,
): Promise<R | undefined> {
  for (;;) {
    const next = steps.next();
    if (next.done) return next.value;
    if (stop.aborted) {
      steps.return(undefined as never);
      return undefined;
    }
    await store(next.value);
    await setImmediate();
  }
}

// --- the segment files

function planFor({ dataDir, reader, jobs }: Work, job: RecoveryJob, sealedSeq: number): ReconcilePlan {
  const { files } = findSegmentFiles(dataDir);
  const ended = { epoch: job.record.oldEpoch, sealedSeq };
  // Those of the epochs before belong to the job before, if it is not done.
  const sinceEpoch =
    jobs.slice(jobs.indexOf(job) + 1).find(({ name }) => reader.restored(name) !== jobDone)?.epoch ?? 0;
  return planReconcile(files, namedSegments(reader), { epoch: job.epoch, sinceEpoch, ended });
}

/** Takes over what the table does not name; `sealedSignals` of the last seal too. */
async function adoptFiles(
  work: Work,
  job: RecoveryJob,
  plan: ReconcilePlan,
  sealedSignals: ReadonlySet<Signal>,
): Promise<void> {
  const { dataDir, reader } = work;
  const cursor = reader.restored(job.name);
  const shipped = job.record.migration ? shippedOfFormat1(filesOf(job).databasePath) : new Set<string>();
  await removeFiles(dataDir, plan.remove);
  const wanted = [...plan.adopt, ...plan.last.filter(({ signal }) => sealedSignals.has(signal))];
  for (let first = 0; first < wanted.length && !work.stop.aborted; first += adoptedAtOnce) {
    const records = await readAll(work, wanted.slice(first, first + adoptedAtOnce));
    const addedSegments = records.map((record) =>
      shipped.has(record.path) ? { ...record, committed: true, manifest: null } : record,
    );
    const parts = records.flatMap(({ path }) => plan.covered.get(path) ?? []);
    await restore(work, job, { cursor, addedSegments, removedSegments: parts });
    await removeFiles(dataDir, parts);
    work.status.adoptedFiles += records.length;
    await setImmediate();
  }
  // Parts of a merged file that could not be read are wanted after all.
  const again = planFor(work, job, plan.sealedSeq);
  if (again.adopt.length > 0 && !work.stop.aborted) await adoptFiles(work, job, again, sealedSignals);
  else await forgetGoneOf(work, job, again);
}

async function forgetGoneOf(work: Work, job: RecoveryJob, plan: ReconcilePlan): Promise<void> {
  const { reader } = work;
  const cursor = reader.restored(job.name);
  const gone = new Set(plan.gone.map(({ path }) => path));
  await forgetGone(
    work,
    job.name,
    cursor,
    namedSegments(reader).filter(({ path }) => gone.has(path)),
  );
}

/** Files that can't be read go to the damaged ones, and become gaps. */
async function readAll(work: Work, files: readonly FoundFile[]): Promise<SegmentRecord[]> {
  const records: SegmentRecord[] = [];
  if (files.length === 0) return records;
  const inspector = await work.inspector();
  for (const file of files) {
    const record = await inspector.read(file);
    if (record !== undefined) {
      records.push(record);
      continue;
    }
    const gap = gapOfUnreadable(file);
    await work.wal.restore({ job: 'files', cursor: 0, gaps: asBatches(work, [gap]) });
    await moveToDamaged(work.dataDir, file.path);
    work.status.gapRows++;
    work.logger.error("a segment file can't be read", { path: file.path });
  }
  return records;
}

function restore({ wal }: Work, job: RecoveryJob, part: Omit<RestoredPart, 'job'>): Promise<void> {
  return wal.restore({ job: job.name, ...part });
}

const asBatches = ({ gateway }: Work, gaps: readonly Gap[]) =>
  gaps.length === 0 ? [] : [gapsBatch(gaps, gateway)];
