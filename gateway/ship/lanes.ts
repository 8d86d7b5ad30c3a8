import { Cron } from 'croner';
import { FirnError, messageOf } from '../../lake/base/errors.ts';

/** Alarms go at any time and before all else; then what was sealed last, so that dashboards are live; then the rest. */
export const lanes = ['alarms', 'newest', 'backlog'] as const;
export type Lane = (typeof lanes)[number];

/** When what is not an alarm may be sent. */
export interface Gate {
  /** `nowMs` is the wall clock. */
  isOpen(nowMs: number): boolean;
}

/** Cron expressions (UTC, five fields): open in the minutes that match one of them, or always when there is none. */
export function createGate(windows: readonly string[]): Gate {
  const patterns = windows.map(parseWindow);
  return {
    isOpen: (nowMs) => patterns.length === 0 || patterns.some((pattern) => pattern.match(minuteOf(nowMs))),
  };
}

const minuteOf = (nowMs: number): Date => new Date(Math.floor(nowMs / 60_000) * 60_000);

/** Throws FirnError `invalid` for an expression that is none. */
export function parseWindow(expression: string): Cron {
  try {
    return new Cron(expression, { timezone: 'UTC', paused: true, mode: '5-part' });
  } catch (cause) {
    throw new FirnError({
      code: 'invalid',
      operation: 'read shipping window',
      subject: 'ship.windows',
      message: `${JSON.stringify(expression)} is not a cron expression of five fields: ${messageOf(cause)}`,
      hint: 'for example "* 22-23,0-5 * * *": from 22:00 to 06:00 UTC',
      cause,
    });
  }
}

/** Uploads at once; one place is never given to the backlog, so that what is new need not wait for a large file. */
export const uploadsInFlightMax = 4;
const backlogInFlightMax = 2;

/** The lanes that may begin an upload, in their order, given how many are under way. */
export function openLanes(
  running: Readonly<Record<Lane, number>>,
  isOpen: (lane: Lane) => boolean,
): readonly Lane[] {
  const total = running.alarms + running.newest + running.backlog;
  return lanes.filter((lane) => {
    if (!isOpen(lane)) return false;
    if (lane === 'backlog') return running.backlog < backlogInFlightMax && total < uploadsInFlightMax;
    return running.alarms + running.newest < uploadsInFlightMax;
  });
}
