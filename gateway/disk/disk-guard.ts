import { FirnError } from '../../lake/base/errors.ts';
import type { DiskPressure } from './pressure.ts';

/**
 * Says whether rows may still be received. Between two measurements it counts what is let in, so that a burst can't run
 * past the reserve; the ladder and the log's own bookkeeping are not asked.
 */
export interface DiskGuard {
  /** Throws FirnError `unavailable` with the setting as its subject when there is no room for so many bytes. */
  admit(bytes: number): void;
  /** Tells it what was measured. */
  measured(pressure: DiskPressure): void;
  readonly status: { readonly refusing: boolean; readonly admittedBytes: number; readonly refusals: number };
}

/** A row is written to the -wal file, then to the database, then to a segment before its place in the log is free. */
const bytesWrittenPerByte = 3;
/** Room that must be there again before rows are let in: else every few freed kilobytes change the answer. */
const resumeBytesMax = 8 * 1024 * 1024;
const resumeShare = 0.01;

/** `onShort`: half of the room is used up since it was measured; measuring again may find more. */
export function createDiskGuard(onShort: () => void): DiskGuard {
  const status = { refusing: false, admittedBytes: 0, refusals: 0 };
  let pressure: DiskPressure | undefined;
  let sinceBytes = 0;
  const leftBytes = (): number =>
    pressure === undefined
      ? Number.POSITIVE_INFINITY
      : pressure.headroomBytes - sinceBytes * bytesWrittenPerByte;
  return {
    status,
    admit: (bytes) => {
      if (pressure === undefined) return;
      const left = leftBytes() - bytes * bytesWrittenPerByte;
      if (left < pressure.headroomBytes / 2) onShort();
      if (status.refusing || left < 0) {
        status.refusing = true;
        status.refusals++;
        throw diskFull(pressure);
      }
      sinceBytes += bytes;
      status.admittedBytes += bytes;
    },
    measured: (now) => {
      pressure = now;
      sinceBytes = 0;
      const resume = Math.min(resumeBytesMax, now.budgetBytes * resumeShare);
      status.refusing = now.headroomBytes <= (status.refusing ? resume : 0);
    },
  };
}

function diskFull({ boundBy, budgetBytes }: DiskPressure): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'append to WAL',
    subject: boundBy,
    message:
      boundBy === 'disk.reserveBytes'
        ? 'the disk is full but for its reserve'
        : `the gateway holds the ${budgetBytes} bytes that it may`,
    hint: 'send again later: room comes back when data is shipped or given up; see the table gaps',
  });
}
