import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import type { WaitingSegment } from './backlog.ts';
import { type Lane, lanes, openLanes, uploadsInFlightMax } from './lanes.ts';
import { gapOfDamaged, type PutSegment } from './put-segment.ts';
import type { Shipping } from './shipper.ts';

/** Segments that are uploaded side by side; the bell rings when one has ended. */
export interface UploadSlots {
  /** Begins what can be begun now. */
  fill(): void;
  /** How many are under way. */
  count(lane: Lane): number;
  readonly total: number;
  allEnd(): Promise<void>;
  /** What one has thrown since it was asked last. */
  takeFailure(): unknown;
}

interface Upload {
  readonly lane: Lane;
  readonly signal: string;
  readonly done: Promise<void>;
}

/** Segments looked at to find one that is free. */
const candidatesMax = 32;

/** `mayShip`: asked before a lane is looked at, with how many small files wait in it. */
export function createUploadSlots(
  { settings, backlog, bell }: Shipping,
  putSegment: PutSegment,
  mayShip: (lane: Lane, waiting: number) => boolean,
): UploadSlots {
  const { wal, clock, link, claims } = settings;
  const running = new Map<string, Upload>();
  const failures: unknown[] = [];

  const count = (lane: Lane): number => [...running.values()].filter((each) => each.lane === lane).length;
  const ofSignal = ({ entry }: WaitingSegment): number =>
    [...running.values()].filter(({ signal }) => signal === entry.signal).length;

  const begin = (lane: Lane, segment: WaitingSegment): void => {
    const { path, entry } = segment;
    const work = async (): Promise<void> => {
      try {
        if ((await putSegment(lane, segment)) === 'damaged')
          await wal.removeSegments([path], [gapsBatch([gapOfDamaged(segment)], settings.gateway)]);
      } catch (error) {
        failures.push(error);
      } finally {
        running.delete(path);
        claims.release([path]);
        bell.ring();
      }
    };
    running.set(path, { lane, signal: entry.signal, done: work() });
  };
  /** True when it began one. */
  const fillOne = (lane: Lane): boolean => {
    const candidates = backlog.waiting(lane, Math.round(clock.nowMs() * 1000), candidatesMax);
    if (candidates.length === 0 || !mayShip(lane, candidates.length)) return false;
    const free = candidates.filter(({ path }) => !running.has(path) && !claims.isTaken(path));
    // Signals take turns: one of which the least is under way goes first.
    const next = free.toSorted((a, b) => ofSignal(a) - ofSignal(b))[0];
    if (next === undefined || !claims.take([next.path])) return false;
    begin(lane, next);
    return true;
  };

  return {
    count,
    get total() {
      return running.size;
    },
    fill: () => {
      const counts = () =>
        Object.fromEntries(lanes.map((lane) => [lane, count(lane)])) as Record<Lane, number>;
      while (running.size < uploadsInFlightMax + 1)
        if (!openLanes(counts(), link.isOpen).some(fillOne)) return;
    },
    allEnd: async () => void (await Promise.all([...running.values()].map(({ done }) => done))),
    takeFailure: () => failures.shift(),
  };
}
