import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { FirnError, hasCode } from '../../../lake/base/errors.ts';
import { bundleBytes, bundleFolder, parseBundleFolder } from '../../../lake/bundle/bundle-index.ts';
import type { BundleDraft } from '../../../lake/bundle/draft-bundle.ts';
import { listBundles, readBundle } from '../../../lake/bundle/read-bundle.ts';
import { receiptFile, receiptFileBytesMax } from '../../../lake/bundle/receipt-file.ts';
import type { Stick } from '../../../lake/bundle/stick.ts';
import { spaceNeededBytes, writeBundle } from '../../../lake/bundle/write-bundle.ts';
import {
  type AppliedReceipt,
  type BundleSource,
  type GatewayIdentity,
  shipmentIndexOf,
} from './bundle-source.ts';
import type { NumberRange } from './export-state.ts';

export interface ExportOptions {
  readonly source: BundleSource;
  readonly stick: Stick;
  readonly bundleBytesMax: number;
  readonly onlyNew: boolean;
  /** Remove bundles from the stick that the receipt on it covers. */
  readonly prune: boolean;
}

export interface ExportResult {
  readonly gateway: string;
  readonly bundles: readonly ExportedBundle[];
  /** Bundles of this gateway that were on the stick and whole. */
  readonly present: number;
  readonly pruned: readonly string[];
  /** What a receipt on the stick said. */
  readonly receipt: AppliedReceipt | undefined;
  /** What went wrong; the rest was done. */
  readonly problems: readonly { readonly message: string; readonly hint: string | undefined }[];
}

interface ExportedBundle extends NumberRange {
  readonly folder: string;
  readonly bytes: number;
}

/** Takes the receipt that a stick brings, then puts all on it that the cloud has not. */
export async function exportToStick(options: ExportOptions): Promise<ExportResult> {
  const { source, stick } = options;
  const problems: ExportResult['problems'][number][] = [];
  const report = (error: unknown): void => {
    if (!(error instanceof FirnError)) throw error;
    problems.push({ message: error.message, hint: error.hint });
  };
  const identity = await source.identity();
  const receipt = await takeReceipt(options, identity).catch(report);
  await source.compose();
  const { skip, pruned } = await lookAround(options, identity, receipt ?? undefined);
  const present = skip.length;
  const bundles: ExportedBundle[] = [];
  for (;;) {
    const draft = await draftThatFits(options, skip).catch(report);
    if (!draft) break;
    const { epoch, first, last } = draft.index;
    try {
      const folder = await writeBundle(stick, draft, ({ key }) => source.readSegment(draft, key));
      await source.markExported({ epoch, first, last });
      bundles.push({ folder, epoch, first, last, bytes: bundleBytes(draft.index) });
      skip.push({ epoch, first, last });
    } catch (error) {
      await stick.remove(bundleFolder(draft.index)).catch(() => undefined); // a stick that is gone
      if (!hasCode(error, 'corrupt')) throw error;
      const damaged = {
        epoch,
        number: first + shipmentIndexOf(draft.manifests, error.subject),
        key: error.subject,
      };
      const lostRows = await source.giveUpDamaged(damaged);
      report(lostRows > 0 ? lost(error, lostRows) : error);
      // What can't be changed is left out: later shipments wait for it in the cloud, but they are safe there.
      if (lostRows === 0) skip.push({ epoch, first: damaged.number, last: damaged.number });
    }
  }
  return { gateway: identity.gateway, bundles, present, pruned, receipt: receipt ?? undefined, problems };
}

async function takeReceipt(
  { source, stick }: ExportOptions,
  { tenant, gateway }: GatewayIdentity,
): Promise<AppliedReceipt | undefined> {
  const path = join(stick.path, receiptFile(tenant, gateway));
  const info = await stat(path).catch(() => undefined);
  if (!info) return undefined;
  return source.applyReceiptFile(info.size > receiptFileBytesMax ? '' : await readFile(path, 'utf8'));
}

/** Finds what is on the stick of this gateway. What it wrote in this epoch and can't be read is removed. */
async function lookAround(
  { stick, prune }: ExportOptions,
  identity: GatewayIdentity,
  receipt: AppliedReceipt | undefined,
): Promise<{ skip: NumberRange[]; pruned: string[] }> {
  const skip: NumberRange[] = [];
  const pruned: string[] = [];
  for (const folder of await listBundles(stick.path)) {
    const claim = parseBundleFolder(folder);
    if (claim?.tenant !== identity.tenant || claim.gateway !== identity.gateway) continue;
    try {
      const { index } = await readBundle(join(stick.path, folder), () => identity.publicKey);
      const covered =
        receipt?.outcome === 'applied' && receipt.epoch === index.epoch && index.last <= receipt.number;
      if (!(prune && covered)) skip.push({ epoch: index.epoch, first: index.first, last: index.last });
      else {
        await stick.remove(folder);
        pruned.push(folder);
      }
    } catch (error) {
      // Of another epoch or key it may be all that is left of another life of this gateway: not ours to remove.
      if (hasCode(error, 'corrupt') && claim.epoch === identity.epoch) await stick.remove(folder);
    }
  }
  if (pruned.length > 0) await stick.syncFolder('.');
  return { skip, pruned };
}

/** The next bundle, made smaller until the stick has room. Throws FirnError `limit` when not even one shipment fits. */
async function draftThatFits(
  { source, stick, bundleBytesMax, onlyNew }: ExportOptions,
  skip: readonly NumberRange[],
): Promise<BundleDraft | undefined> {
  const { freeBytes, blockBytes } = await stick.space();
  for (
    let bytesMax = Math.min(bundleBytesMax, Math.max(freeBytes, 1));
    ;
    bytesMax = Math.floor(bytesMax / 2)
  ) {
    const draft = await source.draft({ bytesMax: Math.max(bytesMax, 1), onlyNew, skip });
    if (!draft) return undefined;
    const neededBytes = spaceNeededBytes(draft, blockBytes);
    if (neededBytes <= freeBytes) return draft;
    if (draft.manifests.length === 1) throw full(stick, draft, neededBytes, freeBytes);
  }
}

function full({ path }: Stick, { index }: BundleDraft, neededBytes: number, freeBytes: number): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'export',
    subject: path,
    message: `the stick is full: shipment ${index.first} needs ${neededBytes} bytes and ${freeBytes} are free; it and what follows stay here`,
    hint: 'export the rest to another stick, or make room (--prune removes bundles that a receipt covers)',
  });
}

function lost({ subject, message, operation }: FirnError, rows: number): FirnError {
  return new FirnError({
    code: 'corrupt',
    operation,
    subject,
    message: `${message}; its ${rows} rows are lost, which is recorded as a gap`,
    hint: 'check the disk of this gateway',
  });
}
