import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import Database from 'better-sqlite3';
import type { Clock } from '../../../lake/base/clock.ts';
import { hasCode, messageOf } from '../../../lake/base/errors.ts';
import type { Logger } from '../../../lake/base/log.ts';
import type { NumberedShipment } from '../../../lake/bundle/draft-bundle.ts';
import type { GatewayId, SiteId, TenantId } from '../../../lake/model/ids.ts';
import type { ManifestSegment } from '../../../lake/model/manifest.ts';
import { hashFile } from '../../../lake/parquet/durable-file.ts';
import { gapsBatch } from '../../../lake/receive/gaps-builder.ts';
import type { SegmentClaims } from '../../seal/segment-claims.ts';
import type { Wal } from '../../wal/wal.ts';
import { openBacklog } from '../backlog.ts';
import { createComposer } from '../compose.ts';
import { gapOfDamaged } from '../put-segment.ts';
import { recordReceipt } from '../receipts.ts';
import type { ExportLedger } from './bundle-source.ts';

export interface WalLedgerOptions {
  readonly wal: Wal;
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly gateway: GatewayId;
  /** Absolute; the sealer's. */
  readonly dataDir: string;
  readonly claims: SegmentClaims;
  readonly sealNow: () => Promise<void>;
  /** Makes few large files of many small ones that wait. */
  readonly consolidate?: (filesMin: number) => Promise<void>;
  /** Called with the time in each receipt: to a gateway without a clock it says how late it is at least. */
  readonly onReceipt?: (cloudUs: number) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What one exported shipment holds at most, so that bundles can be filled well. */
const shipmentSegmentsMax = 64;
const shipmentBytesMax = 128 * 1024 * 1024;
const consolidateFilesMin = 8;
/** Files that an upload or a merge has taken are waited for this long. */
const claimWaitMs = 5_000;
const claimPollMs = 50;
const pageShipments = 50;

interface WaitingFile {
  readonly path: string;
  readonly bytes: number;
}

/** The export's view of `wal.db`. Shipments get their numbers here as they do when they are uploaded. */
export function openWalLedger(options: WalLedgerOptions): ExportLedger & Disposable {
  const { wal, dataDir, gateway, logger } = options;
  const db = new Database(wal.path, { readonly: true, fileMustExist: true, timeout: 5000 });
  const backlog = openBacklog(wal.path, 0);
  const composer = createComposer(options);
  const page = db.prepare<[number, number], { number: number; manifest: string }>(
    'SELECT number, manifest FROM shipment WHERE number > ? ORDER BY number LIMIT ?',
  );
  const waiting = db.prepare<[], WaitingFile>(
    `SELECT path, bytes FROM segment
     WHERE shipment IS NULL AND committed = 0 AND refused IS NULL AND manifest IS NOT NULL ORDER BY sealed_us, path`,
  );
  const numbered = (shipment: { number: number; manifest: string }): NumberedShipment => ({
    epoch: wal.epoch,
    ...shipment,
  });
  const find = (number: number, key: string) =>
    backlog.segmentsOf([number]).find(({ entry }) => entry.key === key);

  return {
    epoch: () => wal.epoch,
    compose: async () => {
      await options.sealNow().catch((error: unknown) => {
        logger.warn('what came last could not be sealed; it is not exported', { error: messageOf(error) });
      });
      await options.consolidate?.(consolidateFilesMin);
      for (;;) {
        const files = firstShipment(waiting.all());
        if (files.length === 0) return;
        await composeClaimed(options, composer.compose, files);
      }
    },
    *shipments() {
      for (let after = 0; ; ) {
        const found = page.all(after, pageShipments);
        yield* found.map(numbered);
        const last = found.at(-1);
        if (last === undefined) return;
        after = last.number;
      }
    },
    shipment: (number) => {
      const manifest = backlog.manifestOf(number);
      return manifest === undefined ? undefined : numbered({ number, manifest });
    },
    segmentPath: (number, key) => {
      const segment = find(number, key);
      return segment && join(dataDir, segment.path);
    },
    giveUpDamaged: async (number, key) => {
      const segment = find(number, key);
      if (segment === undefined || !(await isDamaged(join(dataDir, segment.path), segment.entry))) return 0;
      const { rows } = segment.entry;
      try {
        await wal.amendShipment(number, [segment.path], [gapsBatch([gapOfDamaged(segment)], gateway)]);
      } catch (error) {
        if (hasCode(error, 'conflict')) return 0; // its manifest was put: it is as it is
        throw error;
      }
      logger.error('a damaged segment can not be exported; its rows are lost', { path: segment.path, rows });
      return rows;
    },
    applyReceipt: async (receipt) => {
      const outcome = await recordReceipt({ wal, logger, gateway, backlog }, receipt);
      options.onReceipt?.(receipt.cloudUs);
      return outcome;
    },
    [Symbol.dispose]: () => {
      composer[Symbol.dispose]();
      backlog[Symbol.dispose]();
      db.close();
    },
  };
}

/** The oldest that fit into one shipment; at least one. */
function firstShipment(files: readonly WaitingFile[]): string[] {
  const taken: string[] = [];
  let total = 0;
  for (const { path, bytes } of files) {
    total += bytes;
    if (taken.length === shipmentSegmentsMax || (taken.length > 0 && total > shipmentBytesMax)) break;
    taken.push(path);
  }
  return taken;
}

/**
 * Numbers these files. A merge that has one of them would be in vain, so it is waited for; but an upload may hold one for
 * as long as the network is away, and does no harm: the shipper finds the file numbered when it is done.
 */
async function composeClaimed(
  { claims, clock }: WalLedgerOptions,
  compose: (paths: readonly string[]) => Promise<number>,
  paths: readonly string[],
): Promise<void> {
  const deadlineMs = clock.monotonicMs() + claimWaitMs;
  let claimed = claims.take(paths);
  while (!claimed && clock.monotonicMs() < deadlineMs) {
    await delay(claimPollMs);
    claimed = claims.take(paths);
  }
  try {
    await compose(paths);
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error; // merged or shipped meanwhile: looked at again
  } finally {
    if (claimed) claims.release(paths);
  }
}

async function isDamaged(path: string, { bytes, sha256 }: ManifestSegment): Promise<boolean> {
  try {
    const found = await hashFile(path);
    return found.bytes !== bytes || found.sha256 !== sha256;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    throw error;
  }
}
