import { createHash } from 'node:crypto';

/** Where in its interval a target is scraped: by its key, so that targets don't come all at once. */
export const phaseOf = (key: string, intervalMs: number): number =>
  Number(
    createHash('md5').update(key).digest().readBigUInt64BE(8) % BigInt(Math.max(1, Math.round(intervalMs))),
  );

/**
 * The next moment of a target's schedule, which lies on the same grid for ever. `lastMs` is the one before, so that a
 * timer that fires early does not make two of one; a clock that was set back begins anew.
 */
export function nextScrapeMs(
  nowMs: number,
  lastMs: number | undefined,
  intervalMs: number,
  phaseMs: number,
): number {
  const next = Math.floor((nowMs - phaseMs) / intervalMs) * intervalMs + phaseMs + intervalMs;
  if (lastMs === undefined || next > lastMs || lastMs - next >= intervalMs) return next;
  return lastMs + intervalMs;
}

/** How late a scrape may begin and still have the timestamp of its schedule, which makes timestamps compress well. */
const toleranceMsMax = 10;

/** The timestamp of a scrape that was to begin at `scheduledMs` and does at `nowMs`; whole milliseconds. */
export function scrapeTimestampMs(scheduledMs: number, nowMs: number, intervalMs: number): number {
  const tolerance = Math.min(toleranceMsMax, intervalMs / 100);
  return Math.round(Math.abs(nowMs - scheduledMs) <= tolerance ? scheduledMs : nowMs);
}
