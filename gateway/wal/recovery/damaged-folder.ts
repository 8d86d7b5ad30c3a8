import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { syncFolderOf } from './wal-mark.ts';

// `damaged/<epoch>-<n>/`: one anomaly of the log, with the files that were moved aside because of it (if any) and a
// record, recovery.json, of what is still to be done. The epoch is the one that began with it.

export interface RecoveryRecord {
  /** moving: the files may be in two places; pending: salvage, reconcile and gaps are to be done; done: all is stored. */
  readonly state: 'moving' | 'pending' | 'done';
  readonly reasons: readonly string[];
  /** The log was moved aside; otherwise it is still in use. */
  readonly aside: boolean;
  /** Nothing is lost: a log of an older format is carried over. */
  readonly migration: boolean;
  /** Epoch of the log before; 0: not known. */
  readonly oldEpoch: number;
  /** Of the log before, as the mark says: what was sealed, and the newest batch; 0: not known. */
  readonly sealedSeq: number;
  readonly lastSeq: number;
  /** Something may have been appended after lastSeq that nobody knows of. */
  readonly tailUnknown: boolean;
  /** When something may have been received that is lost. */
  readonly fromUs: number;
  readonly toUs: number;
  /** Within that, places do not tell when something was received. */
  readonly mixed: boolean;
}

const count = (value: unknown): boolean => Number.isSafeInteger(value) && Number(value) >= 0;
const time = (value: unknown): boolean => Number.isSafeInteger(value);
const flag = (value: unknown): boolean => typeof value === 'boolean';

// By hand: the thread of the log starts sooner without zod, which it needs for nothing else.
const fields: Readonly<Record<keyof RecoveryRecord | 'format', (value: unknown) => boolean>> = {
  format: (value) => value === 1,
  state: (value) => value === 'moving' || value === 'pending' || value === 'done',
  reasons: (value) => Array.isArray(value) && value.every((each) => typeof each === 'string'),
  ...{ aside: flag, migration: flag, tailUnknown: flag, mixed: flag },
  ...{ oldEpoch: count, sealedSeq: count, lastSeq: count },
  ...{ fromUs: time, toUs: time },
};

export interface RecoveryJob {
  /** Name of its folder. */
  readonly name: string;
  readonly folder: string;
  /** The epoch that began with it. */
  readonly epoch: number;
  readonly record: RecoveryRecord;
}

const recordName = 'recovery.json';
const databaseName = 'wal.db';
const walSuffixes = ['', '-wal', '-shm'] as const;

export const damagedFolder = (dataDir: string): string => join(dataDir, 'damaged');
export const jobFolder = (dataDir: string, name: string): string => join(damagedFolder(dataDir), name);
export const filesOf = ({ folder }: RecoveryJob) => ({
  databasePath: join(folder, databaseName),
  walPath: join(folder, `${databaseName}-wal`),
});

/** All that are recorded, the oldest first. A folder whose record can't be read was not begun, or is somebody else's. */
export function recoveryJobs(dataDir: string): RecoveryJob[] {
  const root = damagedFolder(dataDir);
  if (!existsSync(root)) return [];
  const found: RecoveryJob[] = [];
  for (const name of readdirSync(root)) {
    const match = /^(\d+)-(\d+)$/.exec(name);
    const record = match === null ? undefined : readRecord(join(root, name, recordName));
    if (match === null || record === undefined) continue;
    found.push({ name, folder: join(root, name), epoch: Number(match[1]), record });
  }
  const order = (name: string): number[] => name.split('-').map(Number);
  return found.sort((a, b) => {
    const [epochA = 0, countA = 0] = order(a.name);
    const [epochB = 0, countB = 0] = order(b.name);
    return epochA - epochB || countA - countB;
  });
}

/** Records an anomaly, durably. With state `moving`, `finishMoves` is to follow. */
export function recordAnomaly(dataDir: string, epoch: number, record: RecoveryRecord): RecoveryJob {
  const root = damagedFolder(dataDir);
  mkdirSync(root, { recursive: true });
  syncFolderOf(root);
  for (let count = 1; ; count++) {
    const name = `${epoch}-${count}`;
    const folder = join(root, name);
    if (existsSync(folder)) continue;
    mkdirSync(folder);
    syncFolderOf(folder);
    writeRecord(folder, record);
    return { name, folder, epoch, record };
  }
}

/** Moves the files of the log into the folders of jobs that are not done with it. Can be repeated at any point. */
export function finishMoves(dataDir: string, walPath: string): void {
  for (const job of recoveryJobs(dataDir)) {
    if (job.record.state !== 'moving') continue;
    // The database first: while it is gone, nothing takes its -wal for that of another.
    for (const suffix of walSuffixes) {
      if (!existsSync(walPath + suffix)) continue;
      if (suffix === '-shm') rmSync(walPath + suffix);
      else renameSync(walPath + suffix, join(job.folder, databaseName + suffix));
    }
    syncFolderOf(join(job.folder, recordName));
    syncFolderOf(walPath);
    writeRecord(job.folder, { ...job.record, state: 'pending' });
  }
}

/** Writes the record of a job again. */
export function rewriteRecord(job: RecoveryJob, record: RecoveryRecord): RecoveryJob {
  writeRecord(job.folder, record);
  return { ...job, record };
}

/**
 * All is stored. The files stay for a person to look at when something in them could not be read, as far as `keep`
 * allows: so many of the newest, and so many bytes.
 */
export function finishJob(
  dataDir: string,
  job: RecoveryJob,
  somethingLost: boolean,
  keep: { readonly damagedKept: number; readonly damagedBytesMax: number },
): void {
  if (!somethingLost) {
    rmSync(job.folder, { recursive: true, force: true });
    return;
  }
  writeRecord(job.folder, { ...job.record, state: 'done' });
  const done = recoveryJobs(dataDir).filter(({ record }) => record.state === 'done');
  let bytes = 0;
  for (const [index, { folder }] of done.reverse().entries()) {
    bytes += folderBytes(folder);
    if (index >= keep.damagedKept || bytes > keep.damagedBytesMax)
      rmSync(folder, { recursive: true, force: true });
  }
}

function folderBytes(folder: string): number {
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

function readRecord(path: string): RecoveryRecord | undefined {
  try {
    // Records of an earlier version have no `mixed`.
    const found: object = { mixed: false, ...(JSON.parse(readFileSync(path, 'utf8')) as object) };
    const { format: _, ...record } = found as RecoveryRecord & { format: unknown };
    const right = Object.entries(fields).every(([name, test]) => test(Reflect.get(found, name)));
    return right && Object.keys(found).length === Object.keys(fields).length ? record : undefined;
  } catch {
    return undefined;
  }
}

function writeRecord(folder: string, record: RecoveryRecord): void {
  const path = join(folder, recordName);
  const temporary = `${path}.tmp`;
  writeFileSync(temporary, `${JSON.stringify({ format: 1, ...record }, undefined, 2)}\n`);
  const file = openSync(temporary, 'r+');
  fsyncSync(file);
  closeSync(file);
  renameSync(temporary, path);
  syncFolderOf(path);
}
