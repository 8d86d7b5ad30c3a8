/** Minutes in which rows lie. */
export interface TouchedMinutes {
  /** Microseconds since the Unix epoch. */
  add(timestampsUs: BigInt64Array): void;
  /** Whether rows may lie in this time; milliseconds, inclusive. */
  touch(fromMs: number, toMs: number): boolean;
}

/** Minutes that are told apart; with more, rows may be at any time. */
const minutesMax = 20_000;

const minuteUs = 60_000_000n;
const minuteMs = 60_000;

export function createTouchedMinutes(): TouchedMinutes {
  const minutes = new Set<number>();
  return {
    add: (timestampsUs) => {
      // Rows of a minute mostly follow each other.
      let [fromUs, toUs] = [0n, 0n];
      for (const atUs of timestampsUs) {
        if (minutes.size > minutesMax) return;
        if (atUs >= fromUs && atUs < toUs) continue;
        const minute = Math.floor(Number(atUs) / 1000 / minuteMs);
        minutes.add(minute);
        fromUs = BigInt(minute) * minuteUs;
        toUs = fromUs + minuteUs;
      }
    },
    touch: (fromMs, toMs) => {
      const [first, last] = [Math.floor(fromMs / minuteMs), Math.floor(toMs / minuteMs)];
      if (minutes.size > minutesMax) return true;
      if (last - first > minutes.size) {
        for (const minute of minutes) if (minute >= first && minute <= last) return true;
        return false;
      }
      for (let minute = first; minute <= last; minute++) if (minutes.has(minute)) return true;
      return false;
    },
  };
}
