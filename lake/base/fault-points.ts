import { FirnError } from './errors.ts';

// Named steps at which a test may stop the process for good (`--test-crash-at NAME:COUNT`) or throw in a simulation. Each
// stands between two effects that must not depend on each other's memory.

export const faultPoints = [
  'wal.before-commit',
  'wal.committed',
  'seal.written',
  'seal.committed',
  'merge.written',
  'merge.committed',
  'ship.segment-put',
  'ship.uploaded',
  'ship.composed',
  'ship.manifest-put',
  'ship.shipped',
  'receipt.read',
  'receipt.applied',
  'ladder.written',
  'ladder.committed',
] as const;

export type FaultPoint = (typeof faultPoints)[number];

/** Called when a step is reached; what it throws ends the step. */
export type ReachFaultPoint = (point: FaultPoint) => void;

export const noFaults: ReachFaultPoint = () => undefined;

/**
 * Kills this process with SIGKILL when a point is reached for the COUNTth time (default 1): `seal.written:3`. An empty
 * text never does. Throws FirnError `invalid` for a name that is none.
 */
export function crashAt(text: string): ReachFaultPoint {
  if (text === '') return noFaults;
  const [name, count = '1'] = text.split(':');
  const left = Number(count);
  if (!faultPoints.some((point) => point === name) || !Number.isInteger(left) || left < 1)
    throw new FirnError({
      code: 'invalid',
      operation: 'read fault point',
      subject: 'crashAt',
      message: `${JSON.stringify(text)} is not a step and a count such as seal.written:3`,
      hint: `the steps are ${faultPoints.join(', ')}`,
    });
  let reached = 0;
  return (point) => {
    if (point === name && ++reached === left) process.kill(process.pid, 'SIGKILL');
  };
}
