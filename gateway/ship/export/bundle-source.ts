import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../../lake/base/clock.ts';
import { FirnError, messageOf } from '../../../lake/base/errors.ts';
import { type BundleDraft, draftBundle, type NumberedShipment } from '../../../lake/bundle/draft-bundle.ts';
import { openReceiptFile } from '../../../lake/bundle/receipt-file.ts';
import { loadOrMakeSigner, type PublicKey, parsePublicKey } from '../../../lake/bundle/signing-key.ts';
import type { GatewayId, SiteId, TenantId } from '../../../lake/model/ids.ts';
import { parseManifest } from '../../../lake/model/manifest.ts';
import { parseReceipt, type Receipt } from '../../../lake/model/receipt.ts';
import type { ReceiptOutcome } from '../receipts.ts';
import { addExported, type ExportedNumbers, type NumberRange, readExported } from './export-state.ts';

/** Where bundles come from: the gateway's own folder, or a running gateway over HTTP. */
export interface BundleSource {
  identity(): Promise<GatewayIdentity>;
  /** Seals and numbers all that was received until now. */
  compose(): Promise<void>;
  /** The next bundle, signed; undefined when there is nothing left to be exported. */
  draft(request: DraftRequest): Promise<BundleDraft | undefined>;
  /** The bytes of one of the draft's segments, by its key. */
  readSegment(draft: BundleDraft, key: string): AsyncIterable<Uint8Array>;
  /** Remembers that these have reached a stick. */
  markExported(range: NumberRange): Promise<void>;
  /**
   * Takes a damaged segment out of a shipment that was never exported, so that later ones need not wait for it, and
   * records the gap. Returns the rows that are lost; 0 when the shipment has to stay as it is.
   */
  giveUpDamaged(place: SegmentPlace): Promise<number>;
  /**
   * Takes what a signed receipt says. Throws FirnError `denied` when the trusted cloud has not signed it, `corrupt` when
   * it is damaged, `invalid` when it is for another gateway.
   */
  applyReceiptFile(text: string): Promise<AppliedReceipt>;
}

export interface GatewayIdentity {
  readonly tenant: string;
  readonly site: string;
  readonly gateway: string;
  readonly epoch: number;
  readonly publicKey: PublicKey;
}

export interface AppliedReceipt {
  readonly epoch: number;
  readonly number: number;
  readonly outcome: ReceiptOutcome;
}

interface DraftRequest {
  readonly bytesMax: number;
  /** Leave out what was exported before. */
  readonly onlyNew: boolean;
  /** Leave out these, for example because they are on the stick. */
  readonly skip: readonly NumberRange[];
}

interface SegmentPlace {
  readonly epoch: number;
  readonly number: number;
  readonly key: string;
}

/** What an export needs of the gateway's log. */
export interface ExportLedger {
  epoch(): number;
  /** Seals what is in the log and numbers all that has no number. */
  compose(): Promise<void>;
  /** Shipments without a receipt, in order. */
  shipments(): Iterable<NumberedShipment>;
  shipment(number: number): NumberedShipment | undefined;
  /** The local file of a shipment's segment; undefined when the shipment does not name it. */
  segmentPath(number: number, key: string): string | undefined;
  /** Takes a segment out of its shipment if its file is damaged or gone. Returns the rows that are lost, 0 if it is not. */
  giveUpDamaged(number: number, key: string): Promise<number>;
  applyReceipt(receipt: Receipt): Promise<ReceiptOutcome>;
}

export interface LocalSourceOptions {
  readonly ledger: ExportLedger;
  readonly dataDir: string;
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly gateway: GatewayId;
  readonly clock: Clock;
}

export const shipKeyFile = (dataDir: string): string => join(dataDir, 'identity', 'ship-key.pem');
export const cloudKeyFile = (dataDir: string): string => join(dataDir, 'identity', 'cloud-key.pem');

/** Bundles of the gateway whose data folder this is; the caller holds its lock. */
export async function openLocalSource(options: LocalSourceOptions): Promise<BundleSource> {
  const { ledger, dataDir, tenant, site, gateway, clock } = options;
  const signer = await loadOrMakeSigner(shipKeyFile(dataDir));
  const ids = { tenant, site, gateway };
  return {
    identity: async () => ({ ...ids, epoch: ledger.epoch(), publicKey: signer.publicKey }),
    compose: () => ledger.compose(),
    draft: async ({ bytesMax, onlyNew, skip }) => {
      const exported = onlyNew ? await readExported(dataDir) : undefined;
      const createdUs = Math.round(clock.nowMs() * 1000);
      return draftBundle(wanted(ledger.shipments(), skip, exported), { ...ids, signer, createdUs, bytesMax });
    },
    readSegment: ({ index, manifests }, key) => {
      const number = index.first + shipmentIndexOf(manifests, key);
      return readSegmentFile(ledger.segmentPath(number, key), key);
    },
    markExported: (range) => addExported(dataDir, range),
    giveUpDamaged: async ({ epoch, number, key }) => {
      const isExported = (await readExported(dataDir)).has(epoch, number);
      return isExported || epoch !== ledger.epoch() ? 0 : ledger.giveUpDamaged(number, key);
    },
    applyReceiptFile: async (text) => {
      const receipt = parseReceipt(openReceiptFile(text, await trustedCloud(dataDir)), 'receipt');
      if (receipt.tenant !== tenant || receipt.gateway !== gateway) throw notOurs(receipt);
      const outcome = await ledger.applyReceipt(receipt);
      return { epoch: receipt.epoch, number: receipt.number, outcome };
    },
  };
}

function* wanted(
  shipments: Iterable<NumberedShipment>,
  skip: readonly NumberRange[],
  exported: ExportedNumbers | undefined,
): Generator<NumberedShipment> {
  for (const shipment of shipments) {
    const { epoch, number } = shipment;
    if (exported?.has(epoch, number)) continue;
    if (skip.some((range) => range.epoch === epoch && range.first <= number && number <= range.last))
      continue;
    yield shipment;
  }
}

/** The bytes of a local segment; whatever hinders reading it is FirnError `corrupt` whose subject is its key. */
async function* readSegmentFile(path: string | undefined, key: string): AsyncGenerator<Uint8Array> {
  if (path === undefined) throw unreadable(key, 'its shipment is not here any more');
  try {
    yield* createReadStream(path, { highWaterMark: 1024 * 1024 });
  } catch (cause) {
    throw unreadable(key, messageOf(cause), cause);
  }
}

/** A segment that can't be put on a stick; the rest can. */
export function unreadable(key: string, why: string, cause?: unknown): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation: 'read segment',
    subject: key,
    message: `segment ${key} can't be read: ${why}`,
    hint: 'check the disk of this gateway',
    cause,
  });
}

/** Which of a bundle's manifests names a segment; throws FirnError `corrupt` when none does. */
export function shipmentIndexOf(manifests: readonly string[], key: string): number {
  const index = manifests.findIndex((text) =>
    parseManifest(text, 'manifest').segments.some((segment) => segment.key === key),
  );
  if (index < 0) throw unreadable(key, 'no manifest of the bundle names it');
  return index;
}

async function trustedCloud(dataDir: string): Promise<PublicKey | undefined> {
  const path = cloudKeyFile(dataDir);
  try {
    return parsePublicKey(await readFile(path, 'utf8'), path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function notOurs({ tenant, gateway }: Receipt): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'apply receipt',
    subject: gateway,
    message: `the receipt is for gateway ${gateway} of tenant ${tenant}`,
    hint: 'carry it to that gateway',
  });
}
