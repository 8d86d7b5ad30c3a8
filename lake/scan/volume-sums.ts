import type { StreamVolume, VolumeRequest } from '../logql/source.ts';
import { tooManyCounts } from './too-many-counts.ts';

/** Adds up volumes by stream and piece of time, from several places. */
interface VolumeSums {
  /** Throws LogqlError `limit` when there are too many. */
  add(volume: StreamVolume): void;
  all(): readonly StreamVolume[];
}

export function volumeSums({ rowsMax }: Pick<VolumeRequest, 'rowsMax'>): VolumeSums {
  const sums = new Map<string, StreamVolume>();
  return {
    add: ({ labels, step, lines, bytes }) => {
      const key = `${step} ${labels}`;
      const known = sums.get(key);
      if (known === undefined && sums.size >= rowsMax) throw tooManyCounts({ rowsMax });
      sums.set(key, {
        ...{ labels, step },
        ...{ lines: lines + (known?.lines ?? 0), bytes: bytes + (known?.bytes ?? 0) },
      });
    },
    all: () => [...sums.values()],
  };
}
