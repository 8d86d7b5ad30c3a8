import type { MetricMetadata, SeriesEntry } from '../../../lake/model/batch.ts';
import { openPageImages, type PageImage } from './page-images.ts';
import { createSeqSet, type SeqRange, type SeqSet } from './seq-set.ts';
import { cellsOf } from './sqlite-page.ts';
import {
  type DoubtfulBatch,
  type SalvagedBatch,
  type SalvagedBoot,
  type StoredRow,
  storedRow,
} from './stored-row.ts';

// What can still be read of a damaged wal.db that was moved aside: page by page, past everything that SQLite would stop
// at. The files are never written, so that the work can be begun again at any time and comes out the same. Twice
// through: first what batches need (labels, clocks), then the batches. Memory is flat, whatever the size.

export interface DamagedFiles {
  /** Of the database and its `-wal`; either may be missing. */
  readonly databasePath: string;
  readonly walPath: string;
}

/** A part of what was found; it is to be stored in one transaction with `cursor`. */
export interface SalvageStep {
  readonly series: readonly SeriesEntry[];
  readonly metadata: readonly MetricMetadata[];
  readonly batches: readonly SalvagedBatch[];
  /** Where to go on. */
  readonly cursor: number;
}

/** What the first pass finds besides labels and descriptions. */
export interface Survey {
  /** By `boot` of a batch. */
  readonly boots: ReadonlyMap<number, SalvagedBoot>;
  /** The highest that any image of the table `meta` says; 0: nothing. */
  readonly format: number;
  readonly epoch: number;
  readonly sealedSeq: number;
  /** How far the log was with jobs of recovery of its own, by name. */
  readonly jobs: ReadonlyMap<string, number>;
  /** Rows of intact batches in the range that was asked for, by signal. */
  readonly rowsInRange: ReadonlyMap<string, number>;
}

const stepRowsMax = 1000;
const stepBytesMax = 1024 * 1024;
/** Where the second pass goes on when it is through: nowhere. */
const allPages = Number.MAX_SAFE_INTEGER - 1;
/** In `meta`: how far a job is. */
export const jobKey = 'recovery:';
const doubtfulMax = 10_000;
/** A step ends after so many pages even if they held nothing, so that its caller can let others run. */
const stepPagesMax = 1024;
const isPause = (ordinal: number): boolean => ordinal % stepPagesMax === stepPagesMax - 1;

/** First pass. Yields labels and descriptions (maybe more than once); returns the rest. `lastSeq`: see `SalvageBatchesOptions`. */
export function* surveyDamaged(
  files: DamagedFiles,
  { range, lastSeq }: { readonly range: SeqRange | undefined; readonly lastSeq: number },
): Generator<SalvageStep, Survey, undefined> {
  using images = openPageImages(files.databasePath, files.walPath);
  const boots = new Map<number, SalvagedBoot>();
  const meta = new Map<string, number>();
  const rowsInRange = new Map<string, number>();
  const seen = createSeqSet();
  const inRange = (seq: number): boolean =>
    range !== undefined && seq > range.after && seq <= range.upto && !seen.has(seq);
  const step = createStep();
  const described = new Set<string>();
  /** What is newest stands last, but for images that are older or were maybe never true. */
  const isNews = (standing: PageImage['standing'], known: boolean): boolean =>
    standing === 'committed' || !known;
  for (const at of images.each()) {
    const { standing, ordinal } = at;
    for (const cell of cellsOf(at.image, at.page)) {
      const row = storedRow(cell, at, images, (seq) => inRange(seq) && isTrue(at, seq, lastSeq));
      if (row?.kind === 'boot') {
        if (isNews(standing, boots.has(row.boot.id))) boots.set(row.boot.id, row.boot);
      } else if (row?.kind === 'meta') {
        if (standing !== 'uncommitted') meta.set(row.key, Math.max(meta.get(row.key) ?? 0, count(row.value)));
      } else if (row?.kind === 'batch') {
        seen.add(row.batch.seq);
        rowsInRange.set(row.batch.signal, (rowsInRange.get(row.batch.signal) ?? 0) + row.batch.rows);
      } else if (row?.kind === 'metadata') {
        if (isNews(standing, described.has(row.metadata.name))) step.take(row);
        described.add(row.metadata.name);
      } else if (row !== undefined) step.take(row);
    }
    if (step.isFull() || isPause(ordinal)) yield step.end(ordinal + 1);
  }
  yield step.end(0);
  const number = (key: string): number => meta.get(key) ?? 0;
  return {
    boots,
    format: number('format'),
    epoch: number('epoch'),
    sealedSeq: number('sealed_seq'),
    jobs: new Map(
      [...meta].flatMap(([key, value]) =>
        key.startsWith(jobKey) ? [[key.slice(jobKey.length), value]] : [],
      ),
    ),
    rowsInRange,
  };
}

const epochPagesMax = 1024;

/** The newest epoch that the first pages of the files tell of; 0: none. */
export function epochInFiles(files: DamagedFiles): number {
  using images = openPageImages(files.databasePath, files.walPath);
  let epoch = 0;
  for (const at of images.each()) {
    if (at.ordinal >= epochPagesMax) break;
    for (const cell of cellsOf(at.image, at.page)) {
      const row = storedRow(cell, at, images, () => false);
      if (row?.kind === 'meta' && row.key === 'epoch') epoch = Math.max(epoch, count(row.value));
    }
  }
  return epoch;
}

/** What no commit ends may have been acknowledged only as far as the mark knows of it. */
const isTrue = ({ standing }: PageImage, seq: number, lastSeq: number): boolean =>
  standing !== 'uncommitted' || seq <= lastSeq;

const count = (text: string): number => (/^\d{1,16}$/.test(text) ? Number(text) : 0);

export interface SalvageBatchesOptions {
  /** Batches that are wanted; the others are in segment files. */
  readonly wanted: (seq: number) => boolean;
  /** Of the last step that was stored; 0 begins. */
  readonly cursor: number;
  /** Signals of batches that are in segment files although they are wanted by their seq. */
  readonly sealedInRange: { readonly range: SeqRange; readonly signals: ReadonlySet<string> } | undefined;
  /** Batches that were brought back before, whatever the cursor says. */
  readonly isStored: (seq: number) => boolean;
  /** The newest batch that was committed for certain. */
  readonly lastSeq: number;
}

export interface Salvaged {
  readonly found: SeqSet;
  /** The last batch before and the first after each seq that is missing say when it was received. */
  readonly times: readonly SeqTime[];
  /** Batches of which only the beginning could be read, by seq. */
  readonly doubtful: ReadonlyMap<number, DoubtfulBatch>;
}

interface SeqTime {
  readonly seq: number;
  readonly receivedUs: number;
}

/** Second pass. Yields each intact batch once; returns what was found in all, also before the cursor. */
export function* salvageBatches(
  files: DamagedFiles,
  { wanted, cursor, sealedInRange, isStored, lastSeq }: SalvageBatchesOptions,
): Generator<SalvageStep, Salvaged, undefined> {
  using images = openPageImages(files.databasePath, files.walPath);
  const found = createSeqSet();
  const times = createSparseTimes();
  const doubtful = new Map<number, DoubtfulBatch>();
  const step = createStep();
  const isSealed = ({ seq, signal }: SalvagedBatch): boolean =>
    sealedInRange !== undefined &&
    seq > sealedInRange.range.after &&
    seq <= sealedInRange.range.upto &&
    sealedInRange.signals.has(signal);
  for (const at of images.each()) {
    const { ordinal } = at;
    for (const cell of cellsOf(at.image, at.page)) {
      const isWanted = (seq: number): boolean => wanted(seq) && !found.has(seq) && isTrue(at, seq, lastSeq);
      const row = storedRow(cell, at, images, isWanted);
      if (row?.kind === 'damaged-batch' && doubtful.size < doubtfulMax)
        doubtful.set(row.batch.seq, row.batch);
      if (row?.kind !== 'batch') continue;
      found.add(row.batch.seq);
      times.add(row.batch);
      doubtful.delete(row.batch.seq);
      if (ordinal >= cursor && !isSealed(row.batch) && !isStored(row.batch.seq)) step.take(row);
    }
    if (step.isFull() || isPause(ordinal)) yield step.end(ordinal + 1);
  }
  yield step.end(allPages);
  return { found, times: times.all(), doubtful };
}

function createStep() {
  let [series, metadata, batches]: [SeriesEntry[], MetricMetadata[], SalvagedBatch[]] = [[], [], []];
  let bytes = 0;
  return {
    take: (row: StoredRow): void => {
      if (row.kind === 'series') series.push(row.series);
      if (row.kind === 'metadata') metadata.push(row.metadata);
      if (row.kind !== 'batch') return;
      batches.push({ ...row.batch, payload: ownBytes(row.batch.payload) });
      bytes += row.batch.payload.byteLength;
    },
    isFull: (): boolean =>
      series.length + metadata.length + batches.length >= stepRowsMax || bytes >= stepBytesMax,
    end: (cursor: number): SalvageStep => {
      const step = { series, metadata, batches, cursor };
      [series, metadata, batches, bytes] = [[], [], [], 0];
      return step;
    },
  };
}

/** The bytes in a buffer of their own: the page is read over before the step is stored. */
const ownBytes = (bytes: Uint8Array): Uint8Array =>
  bytes.buffer.byteLength < bytes.byteLength + ownSlackBytesMax && bytes.byteLength > ownSlackBytesMax
    ? bytes
    : new Uint8Array(bytes);
const ownSlackBytesMax = 65_536;

const timesMax = 4096;

/** When batches were received: of all while there are few, then of every second, fourth and so on. */
function createSparseTimes() {
  let times: SeqTime[] = [];
  let [every, left] = [1, 0];
  return {
    add: ({ seq, receivedUs }: SalvagedBatch): void => {
      if (left-- > 0) return;
      left = every - 1;
      times.push({ seq, receivedUs });
      if (times.length < timesMax) return;
      times = times.filter((_, index) => index % 2 === 0);
      every *= 2;
    },
    all: (): readonly SeqTime[] => times.sort((a, b) => a.seq - b.seq),
  };
}
