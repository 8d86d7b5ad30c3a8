import { hasCode } from '../../lake/base/errors.ts';
import type { Gap } from '../../lake/model/gap.ts';
import type { WaitingSegment } from './backlog.ts';
import type { Lane } from './lanes.ts';
import type { Shipping } from './shipper.ts';
import { uploadSegment } from './upload.ts';
import { withTimeout } from './with-timeout.ts';

/**
 * Uploads a segment and records it. `damaged`: its file was not what was sealed, so many times that it is given up.
 * Throws what the store throws, and FirnError `corrupt` while a damaged file has tries left.
 */
export type PutSegment = (lane: Lane, segment: WaitingSegment) => Promise<'put' | 'damaged'>;

export function createPutSegment({ settings, status, stop }: Shipping): PutSegment {
  const { wal, store, dataDir, link, reach, logger, damagedTriesMax } = settings;
  const damagedTries = new Map<string, number>();

  const upload = (lane: Lane, segment: WaitingSegment): Promise<void> =>
    withTimeout(settings, stop, segment.entry.bytes, (signal, untimed) =>
      uploadSegment(store, dataDir, segment, {
        signal,
        pace: (...request) => untimed(link.pace(lane)(...request)),
        resume: {
          load: () => segment.uploadState,
          save: (state) => wal.saveUpload(segment.path, state ?? null),
        },
      }),
    );
  const isGivenUp = (path: string): boolean => {
    const tries = (damagedTries.get(path) ?? 0) + 1;
    damagedTries.set(path, tries);
    return tries >= damagedTriesMax;
  };

  return async (lane, segment) => {
    const { path, entry } = segment;
    try {
      await upload(lane, segment);
    } catch (error) {
      if (!hasCode(error, 'corrupt') || !isGivenUp(path)) throw error;
      status.lostSegments++;
      status.lostRows += entry.rows;
      logger.error('a damaged segment can not be shipped; its rows are lost', { path, rows: entry.rows });
      return 'damaged';
    }
    status.connected = true;
    status.requests++;
    status.sentBytes += entry.bytes;
    reach('ship.segment-put');
    await wal.markUploaded([path]);
    reach('ship.uploaded');
    damagedTries.delete(path);
    return 'put';
  };
}

/** What is missing because a segment's file was damaged. */
export function gapOfDamaged({ path, entry }: WaitingSegment): Gap {
  const { signal, class: of, rows, minTimestampUs, maxTimestampUs } = entry;
  const range = { fromUs: minTimestampUs, toUs: maxTimestampUs };
  return { signal, class: of, kind: 'gap', reason: 'segment-damaged', rows, detail: path, ...range };
}
