import { createHash } from 'node:crypto';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import { manifestKey, receiptKey } from '../../lake/model/keys.ts';
import { parseManifest } from '../../lake/model/manifest.ts';
import type { Receipt } from '../../lake/model/receipt.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { readRefused } from './gateway-haul.ts';
import { type GatewayProgress, type LastShipment, type StoredReceipt, sayOnce } from './gateway-progress.ts';
import { comparePositions, origin } from './marks.ts';
import type { TenantIngestOptions } from './tenant-ingest.ts';

// After the commit, each gateway is told how far it may forget. The marks are the truth: a receipt that could not be
// written, or is behind, changes nothing but that the gateway keeps its files for longer.

/** Writes the receipts of gateways that have come further than theirs say. Never throws. */
export async function putReceipts(
  options: TenantIngestOptions,
  gateways: ReadonlyMap<string, GatewayProgress>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { limits, tables } = options;
  const nowMs = tables.metrics.clock.monotonicMs();
  const due = [...gateways].filter(
    ([, { receipt, done }]) =>
      receipt === undefined ||
      (isBehind(receipt, done) && nowMs >= receipt.putMs + limits.receiptIntervalMsMin),
  );
  await mapConcurrent(due, limits.gatewaysConcurrentMax, async ([gateway, progress]) => {
    if (signal?.aborted) return;
    try {
      await settle(options, gateway, progress);
      if (progress.said.delete(failed)) options.logger.info('receipts are written again', { gateway });
    } catch (error) {
      if (sayOnce(progress, failed))
        options.logger.warn('a receipt could not be written and will be tried again', {
          gateway,
          reason: messageOf(error),
        });
    }
  });
}

const failed = 'receipt failed';

const isBehind = ({ receipt }: StoredReceipt, done: GatewayProgress['done']): boolean =>
  comparePositions(done, receipt ?? origin) > 0;

async function settle(
  options: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
): Promise<void> {
  progress.receipt ??= await readReceipt(options, gateway);
  if (!isBehind(progress.receipt, progress.done)) return;
  const { store, clock } = options.tables.metrics;
  const { receipt: before, etag } = progress.receipt;
  const receipt = await makeReceipt(options, gateway, progress, before);
  const key = receiptKey(options.tenant, gateway);
  const body = Buffer.from(await options.receipts.print(receipt));
  const write = { contentType: 'application/json' };
  try {
    const put =
      etag === undefined
        ? await store.putIfAbsent(key, body, write)
        : await store.putIfMatch(key, body, etag, write);
    progress.receipt = { receipt, etag: put.etag, putMs: clock.monotonicMs() };
  } catch (error) {
    // Another process wrote one: what it says is looked at next time.
    if (!hasCode(error, 'conflict') && !hasCode(error, 'not-found')) throw error;
    progress.receipt = undefined;
  }
}

async function readReceipt(
  { tables, tenant, receipts }: TenantIngestOptions,
  gateway: string,
): Promise<StoredReceipt> {
  const key = receiptKey(tenant, gateway);
  const stored = { receipt: undefined, etag: undefined, putMs: Number.NEGATIVE_INFINITY };
  try {
    const { body, etag } = await tables.metrics.store.get(key);
    try {
      const text = Buffer.from(body).toString();
      return { ...stored, etag, receipt: receipts.parse(text, key, { tenant, gateway }) };
    } catch (error) {
      // Damaged, of a format that is not known, or of somebody else: it is written anew.
      if (!hasCode(error, 'invalid') && !hasCode(error, 'denied')) throw error;
      return { ...stored, etag };
    }
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
    return stored;
  }
}

async function makeReceipt(
  options: TenantIngestOptions,
  gateway: string,
  progress: GatewayProgress,
  before: Receipt | undefined,
): Promise<Receipt> {
  const { done } = progress;
  const isLast = progress.last !== undefined && comparePositions(progress.last.position, done) === 0;
  progress.refused ??= await readRefused(options, gateway);
  const last = isLast && progress.last ? progress.last : await readLast(options, gateway, progress, before);
  progress.last = last;
  return {
    format: 1,
    tenant: options.tenant,
    gateway,
    ...(last.site === undefined ? {} : { site: last.site }),
    epoch: done.epoch,
    number: done.number,
    manifestSha256: last.sha256,
    committedUs: last.committedUs,
    cloudUs: nowUs(options),
    progress: last.progress,
    refused: progress.refused,
  };
}

/** Of the manifest at `done`, which this process has not taken: another did, or it was refused. */
async function readLast(
  options: TenantIngestOptions,
  gateway: string,
  { done, last, refused = [] }: GatewayProgress,
  before: Receipt | undefined,
): Promise<LastShipment> {
  const key = manifestKey(options.tenant, gateway, done.epoch, done.number);
  const { body } = await options.tables.metrics.store.get(key);
  const sha256 = createHash('sha256').update(body).digest('hex');
  const known = { position: done, sha256, committedUs: nowUs(options) };
  // What a refused manifest says of itself counts for nothing.
  if (refused.some((each) => each.key === key))
    return { ...known, site: last?.site ?? before?.site, progress: last?.progress ?? before?.progress ?? {} };
  const { site, progress } = parseManifest(Buffer.from(body).toString(), key);
  return { ...known, site, progress };
}

const nowUs = ({ tables }: TenantIngestOptions): number => Math.round(tables.metrics.clock.nowMs() * 1000);
