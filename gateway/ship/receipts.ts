import { createHash } from 'node:crypto';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { GatewayId } from '../../lake/model/ids.ts';
import { receiptKey } from '../../lake/model/keys.ts';
import type { Receipt } from '../../lake/model/receipt.ts';
import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
import type { Wal } from '../wal/wal.ts';
import type { Backlog } from './backlog.ts';
import { shipAgain } from './ship-again.ts';
import type { Shipping } from './shipper.ts';

// The cloud says in one object what it has committed. It is read every now and then while something waits for it; what
// it covers need not be kept here any longer.

export interface AppliedReceiptStatus {
  readonly epoch: number;
  readonly number: number;
  readonly committedUs: number;
  readonly cloudUs: number;
  readonly refusedShipments: number;
}

/** Looks at the receipt until the shipper stops. */
export async function pollReceipts(shipping: Shipping): Promise<void> {
  const { settings, backlog, stop } = shipping;
  const { clock, logger, receiptIntervalMs } = settings;
  let logged: string | undefined;
  while (!stop.aborted) {
    await clock.sleep(receiptIntervalMs, stop).catch(() => undefined);
    if (stop.aborted || !backlog.unreceipted()) continue;
    try {
      await readReceipt(shipping);
      logged = undefined;
    } catch (error) {
      // That the store is away is told by who ships.
      if (stop.aborted || (hasCode(error, 'unavailable') && error.answered === false)) continue;
      const message = messageOf(error);
      const kind = hasCode(error, 'denied') ? 'denied' : message;
      if (kind !== logged)
        logger.warn('the receipt can not be read; local files are kept until it can', { error: message });
      logged = kind;
    }
  }
}

async function readReceipt(shipping: Shipping): Promise<void> {
  const { settings, status, stop } = shipping;
  const { store, tenant, gateway, reach } = settings;
  const key = receiptKey(tenant, gateway);
  status.requests++;
  const object = await store.get(key, { signal: stop }).catch((error: unknown) => {
    if (hasCode(error, 'not-found')) return undefined;
    throw error;
  });
  if (object === undefined) return;
  reach('receipt.read');
  await applyReceipt(shipping, await settings.openReceipt(Buffer.from(object.body).toString(), key, stop));
}

async function applyReceipt({ settings, backlog, status, bell }: Shipping, receipt: Receipt): Promise<void> {
  const { wal, logger, gateway, reach } = settings;
  const outcome = await recordReceipt({ wal, logger, gateway, backlog }, receipt);
  settings.onReceipt(receipt.cloudUs);
  if (outcome === 'foreign') bell.ring();
  if (outcome !== 'applied') return;
  reach('receipt.applied');
  const { epoch, number, committedUs, cloudUs, refused } = receipt;
  status.receipt = { epoch, number, committedUs, cloudUs, refusedShipments: refused.length };
}

export interface ReceiptTarget {
  readonly wal: Pick<Wal, 'epoch' | 'beginEpoch' | 'applyReceipt'>;
  readonly backlog: Pick<Backlog, 'manifestOf' | 'segmentsOf'>;
  readonly gateway: GatewayId;
  readonly logger: Logger;
}

/** `foreign`: somebody else ships under this identity, and a new epoch has begun. `old`: of an epoch that has ended. */
export type ReceiptOutcome = 'applied' | 'foreign' | 'old';

/** Records what a receipt of this gateway says, however it came. */
export async function recordReceipt(
  { wal, backlog, gateway, logger }: ReceiptTarget,
  receipt: Receipt,
): Promise<ReceiptOutcome> {
  const { epoch, number } = receipt;
  if (isForeign(receipt, wal.epoch, backlog.manifestOf(number))) {
    await shipAgain({ wal, logger }, { epoch, number });
    return 'foreign';
  }
  if (epoch < wal.epoch) return 'old';
  const refused = receipt.refused.filter(
    (each) => each.epoch === epoch && backlog.manifestOf(each.number) !== undefined,
  );
  const lost = refused.flatMap((each) =>
    backlog.segmentsOf([each.number]).map(({ entry }) => ({ entry, reason: each.reason })),
  );
  const gaps = lost.map(({ entry, reason }) => ({
    ...{ signal: entry.signal, class: entry.class, kind: 'gap' as const, rows: entry.rows },
    ...{ reason: 'refused', detail: reason, fromUs: entry.minTimestampUs, toUs: entry.maxTimestampUs },
  }));
  for (const { number: refusedNumber, reason } of refused)
    logger.error('the cloud refused a shipment; its files stay here', { number: refusedNumber, reason });
  await wal.applyReceipt({ epoch, number, refused }, gaps.length === 0 ? [] : [gapsBatch(gaps, gateway)]);
  return 'applied';
}

/** Somebody else's: of an epoch that is still to come, or about a manifest that is not ours. */
function isForeign(receipt: Receipt, epoch: number, manifest: string | undefined): boolean {
  if (receipt.epoch !== epoch) return receipt.epoch > epoch;
  if (manifest === undefined) return false;
  return createHash('sha256').update(manifest).digest('hex') !== receipt.manifestSha256;
}
