const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** 0 to 11. */
export function parseMonth(text: string): number | undefined {
  const index = months.indexOf(text);
  return index < 0 ? undefined : index;
}

type WallTime = readonly [month: number, day: number, hour: number, minute: number, second: number];

const formats = new Map<string, Intl.DateTimeFormat>();

/** Throws RangeError when there is no such zone. */
export function formatOf(timeZone: string): Intl.DateTimeFormat {
  const known = formats.get(timeZone);
  if (known !== undefined) return known;
  const format = new Intl.DateTimeFormat('en-US', {
    ...{ timeZone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric' },
    ...{ hour: 'numeric', minute: 'numeric', second: 'numeric' },
  });
  formats.set(timeZone, format);
  return format;
}

/** Milliseconds since the Unix epoch of a wall clock in a zone. Without a year: the latest that is not ahead of the receipt. */
export function zonedMs(
  [month, day, hour, minute, second]: WallTime,
  year: number | undefined,
  receivedMs: number,
  timeZone: string,
): number | undefined {
  if (day < 1 || day > 31 || hour > 23 || minute > 59 || second > 60) return undefined;
  const received = new Date(receivedMs).getUTCFullYear();
  const years = year === undefined ? [received + 1, received, received - 1] : [year];
  const at = years.map((each) => fromZone(Date.UTC(each, month, day, hour, minute, second), timeZone));
  return year === undefined ? at.find((ms) => ms <= receivedMs + aheadMsMax) : at[0];
}

/** So far a clock may be ahead before its time is taken for one of last year. */
const aheadMsMax = 86_400_000;

/** `wallMs`: what the clock on the wall shows, as if it were UTC. */
function fromZone(wallMs: number, timeZone: string): number {
  if (timeZone === 'UTC') return wallMs;
  const first = wallMs - offsetMs(wallMs, timeZone);
  return wallMs - offsetMs(first, timeZone);
}

function offsetMs(atMs: number, timeZone: string): number {
  const parts = Object.fromEntries(
    formatOf(timeZone)
      .formatToParts(atMs)
      .map(({ type, value }) => [type, Number(value)]),
  );
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(atMs / 1000) * 1000;
}
