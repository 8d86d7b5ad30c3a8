import type { Logger } from '../../lake/base/log.ts';
import type { Wal } from '../wal/wal.ts';

/**
 * Another gateway ships under this identity: numbers begin again in an epoch after its own, and everything without a
 * receipt is shipped again. The cloud leaves out what it has already.
 */
export async function shipAgain(
  { wal, logger }: { readonly wal: Pick<Wal, 'epoch' | 'beginEpoch'>; readonly logger: Logger },
  seen: { readonly epoch: number; readonly number: number },
): Promise<void> {
  logger.error('another gateway ships under this identity; everything without a receipt is shipped again', {
    ownEpoch: wal.epoch,
    ...seen,
  });
  await wal.beginEpoch(Math.max(wal.epoch, seen.epoch) + 1);
}
