/** That a row's time is when it was received, because the time that its device said is not believable. */
export interface TimeDoubt {
  readonly quality: 'device-past' | 'device-future';
  /** What the device said, microseconds since the Unix epoch; null where 64 bits can't hold it. */
  readonly deviceTimestampUs: bigint | null;
}

/** The columns of doubts, which are absent while there are none. */
export interface DoubtColumns {
  /** Call it before the row is counted. */
  add(row: number, doubt: TimeDoubt): void;
  finish(rows: number): {
    readonly quality?: readonly (string | null)[];
    readonly deviceTimestampUs?: readonly (bigint | null)[];
  };
}

export function createDoubtColumns(): DoubtColumns {
  let doubts: (readonly [row: number, doubt: TimeDoubt])[] = [];
  return {
    add: (row, doubt) => void doubts.push([row, doubt]),
    finish: (rows) => {
      if (doubts.length === 0) return {};
      const quality = new Array<string | null>(rows).fill(null);
      const deviceTimestampUs = new Array<bigint | null>(rows).fill(null);
      for (const [row, doubt] of doubts) {
        quality[row] = doubt.quality;
        deviceTimestampUs[row] = doubt.deviceTimestampUs;
      }
      doubts = [];
      return { quality, deviceTimestampUs };
    },
  };
}
