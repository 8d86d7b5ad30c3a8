import { createHash } from 'node:crypto';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import { receiptKey } from '../../lake/model/keys.ts';
import { parseReceipt, type Receipt } from '../../lake/model/receipt.ts';
import { gapsBatch } from '../../lake/receive/gaps-builder.ts';
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
  const { settings, backlog, stop, status } = shipping;
  const { clock, logger, receiptIntervalMs } = settings;
  let logged: string | undefined;
  while (!stop.aborted) {
    await clock.sleep(receiptIntervalMs, stop).catch(() => undefined);
    // What has never been reached can't have a receipt; asking would only wait for it to time out.
    if (stop.aborted || !status.connected || !backlog.unreceipted()) continue;
    try {
      await readReceipt(shipping);
      logged = undefined;
    } catch (error) {
      if (stop.aborted) return;
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
  await applyReceipt(shipping, parseReceipt(Buffer.from(object.body).toString(), key));
}

/** Records what a receipt says. Throws FirnError `invalid` for one of another gateway. */
export async function applyReceipt(
  { settings, backlog, status, bell }: Shipping,
  receipt: Receipt,
): Promise<void> {
  const { wal, logger, reach } = settings;
  const { epoch, number, committedUs, cloudUs } = receipt;
  if (isForeign(receipt, wal.epoch, backlog.manifestOf(number))) {
    await shipAgain(settings, { epoch, number });
    bell.ring();
    return;
  }
  if (epoch < wal.epoch) return; // about an epoch that has ended
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
  await wal.applyReceipt(
    { epoch, number, refused },
    gaps.length === 0 ? [] : [gapsBatch(gaps, settings.gateway)],
  );
  reach('receipt.applied');
  status.receipt = { epoch, number, committedUs, cloudUs, refusedShipments: receipt.refused.length };
}

/** Somebody else's: of an epoch that is still to come, or about a manifest that is not ours. */
function isForeign(receipt: Receipt, epoch: number, manifest: string | undefined): boolean {
  if (receipt.epoch !== epoch) return receipt.epoch > epoch;
  if (manifest === undefined) return false;
  return createHash('sha256').update(manifest).digest('hex') !== receipt.manifestSha256;
}
