import { MEBIBYTE } from '../../lake/base/settings.ts';

// How near to full the gateway is. One figure decides all steps of the ladder, so that no two of them disagree.

/** What was measured at one moment. */
export interface DiskUsage {
  /** Of the file system with the data folder. */
  readonly fileSystemBytes: number;
  /** Free for this process there. */
  readonly availableBytes: number;
  /** Held by the gateway: the log without its free pages, segments, other files below the data folder. */
  readonly ownBytes: number;
  /** Of these, the log: rows that are not sealed yet, which only the sealer can make fewer. */
  readonly databaseBytes: number;
  /** Free pages inside wal.db: new rows take these first, so they count as free and not as used. */
  readonly databaseFreeBytes: number;
}

export interface DiskLimits {
  /** What the gateway may hold; 0: whatever the file system has, less the reserve. */
  readonly budgetBytes: number;
  /** Kept free on the file system; 0: 5 % of it, at most 256 MiB. */
  readonly reserveBytes: number;
}

export interface DiskPressure {
  /** Share of the budget in use; more than 1 when the reserve is touched. */
  readonly ratio: number;
  /** The same of its files alone, without the log. */
  readonly filesRatio: number;
  readonly ownBytes: number;
  /** What the gateway may hold now: the configured budget, or what others have left of the file system. */
  readonly budgetBytes: number;
  /** What may still be received; 0 or less: nothing. */
  readonly headroomBytes: number;
  /** Free on the file system, the reserve included: what the ladder itself may still write. */
  readonly freeBytes: number;
  /** The setting that bounds it. */
  readonly boundBy: 'disk.budgetBytes' | 'disk.reserveBytes';
}

const reserveShareMax = 0.05;
const reserveBytesMax = 256 * MEBIBYTE;

export const reserveOf = ({ reserveBytes }: DiskLimits, fileSystemBytes: number): number =>
  reserveBytes > 0 ? reserveBytes : Math.min(reserveBytesMax, Math.floor(fileSystemBytes * reserveShareMax));

/**
 * What others hold on the file system counts only as it takes room away: a disk that is 95 % full of something else,
 * but large, must not make the gateway throw its data away.
 */
export function pressureOf(usage: DiskUsage, limits: DiskLimits): DiskPressure {
  const { fileSystemBytes, availableBytes, ownBytes, databaseBytes, databaseFreeBytes } = usage;
  const free = availableBytes + databaseFreeBytes - reserveOf(limits, fileSystemBytes);
  const room = ownBytes + free;
  const budgetBytes = limits.budgetBytes > 0 ? Math.min(limits.budgetBytes, room) : room;
  const share = (bytes: number): number => (budgetBytes > 0 ? bytes / budgetBytes : Number.POSITIVE_INFINITY);
  return {
    ratio: share(ownBytes),
    filesRatio: share(ownBytes - databaseBytes),
    ownBytes,
    budgetBytes,
    headroomBytes: budgetBytes - ownBytes,
    freeBytes: availableBytes,
    boundBy: budgetBytes < room ? 'disk.budgetBytes' : 'disk.reserveBytes',
  };
}
