import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode, messageOf } from '../../lake/base/errors.ts';
import { parseBundleFolder } from '../../lake/bundle/bundle-index.ts';
import {
  copySegment,
  type KeyOf,
  listBundles,
  readBundle,
  type VerifiedBundle,
} from '../../lake/bundle/read-bundle.ts';
import { writeReceiptFile } from '../../lake/bundle/receipt-file.ts';
import type { Signer } from '../../lake/bundle/signing-key.ts';
import type { Stick } from '../../lake/bundle/stick.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { manifestKey, manifestPrefix } from '../../lake/model/keys.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { comparePositions, origin, type Position } from './marks.ts';
import { forgetRefusal, recordRefusal } from './quarantine-bundle.ts';

// The air gap's way in: what a stick brings is put where a gateway would have put it, and the ordinary ingest commits
// it. So it makes no difference whether a shipment comes by stick, by network, or by both.

export interface ImportOptions {
  readonly stick: Stick;
  readonly store: ObjectStore;
  readonly tenants: readonly TenantId[];
  /** Throws FirnError `denied` when no key is trusted for a gateway. */
  readonly keyOf: KeyOf;
  /** Of the receipts. */
  readonly signer: Signer;
  /** Where one segment at a time is copied to. */
  readonly workDirectory: string;
  /** Lets the ingest look at these tenants now; resolves when it has. */
  readonly ingestNow: (tenants: readonly TenantId[]) => Promise<void>;
  readonly receiptOf: (tenant: TenantId, gateway: string) => Promise<ReceiptText | undefined>;
  readonly clock: Clock;
  /** How long to wait for a receipt that covers what was put. */
  readonly receiptWaitMs: number;
}

/** A receipt as the cloud wrote it. */
export interface ReceiptText extends Position {
  readonly text: string;
  /** Shipments that it passes over although they are not committed. */
  readonly refused: readonly (Position & { readonly reason: string })[];
}

export interface ImportResult {
  readonly bundles: readonly ImportedBundle[];
  /** Receipts on the stick now. */
  readonly receipts: readonly (Position & { readonly gateway: string; readonly file: string })[];
  /** Receipts that could not be written to the stick: what was imported stays so. */
  readonly problems: readonly string[];
}

/**
 * `committed`: its rows are in the lake, or were before. `waiting`: it is in the inbox, and an earlier shipment of its
 * gateway has to arrive first. `refused`: nothing of it was taken, or the ingest refused what was.
 */
export interface ImportedBundle {
  readonly folder: string;
  readonly outcome: 'committed' | 'waiting' | 'refused';
  /** Shipments of it that had not been committed before. */
  readonly shipments: number;
  readonly reason: string | undefined;
  readonly hint: string | undefined;
}

interface Taken {
  readonly folder: string;
  readonly tenant: TenantId;
  readonly gateway: string;
  readonly first: Position;
  readonly last: Position;
  readonly shipments: number;
}

const receiptPollMs = 500;

/** Takes all bundles of a stick that are whole and trusted, and leaves their receipts on it. */
export async function importBundles(options: ImportOptions): Promise<ImportResult> {
  const outcomes: (Taken | ImportedBundle)[] = [];
  for (const folder of await listBundles(options.stick.path))
    outcomes.push(await takeBundle(options, folder));
  const taken = outcomes.filter((outcome) => 'tenant' in outcome);
  const gateways = new Map(taken.map((each) => [nameOf(each), each]));
  const reached = await awaitReceipts(options, taken);
  const receipts: ImportResult['receipts'][number][] = [];
  const problems: string[] = [];
  for (const [name, { tenant, gateway }] of gateways) {
    const receipt = reached.get(name);
    if (!receipt) continue;
    const { epoch, number, text } = receipt;
    try {
      const file = await writeReceiptFile(options.stick, { tenant, gateway, text }, options.signer);
      receipts.push({ gateway, epoch, number, file });
    } catch (error) {
      problems.push(
        `the receipt for gateway ${gateway} could not be written to the stick: ${messageOf(error)}`,
      );
    }
  }
  const bundles = outcomes.map((outcome) =>
    'tenant' in outcome ? judge(outcome, reached.get(nameOf(outcome))) : outcome,
  );
  return { bundles, receipts, problems };
}

async function takeBundle(options: ImportOptions, folder: string): Promise<Taken | ImportedBundle> {
  try {
    const bundle = await readBundle(join(options.stick.path, folder), options.keyOf);
    const { index } = bundle;
    const tenant = options.tenants.find((each) => each === index.tenant);
    if (tenant === undefined) throw refuse(`there is no tenant ${index.tenant} in this cloud`);
    const shipments = await putBundle(options, tenant, bundle);
    await forgetRefusal(options.store, tenant, index);
    const { gateway, epoch } = index;
    const [first, last] = [index.first, index.last].map((number) => ({ epoch, number }));
    return { folder, tenant, gateway, shipments, first: first ?? origin, last: last ?? origin };
  } catch (error) {
    if (!(error instanceof FirnError) || !refusals.has(error.code)) throw error;
    const named = parseBundleFolder(folder);
    const tenant = options.tenants.find((each) => each === named?.tenant);
    if (tenant !== undefined && named)
      await recordRefusal(options.store, tenant, {
        ...{ ...named, folder, reason: error.message },
        refusedUs: Math.round(options.clock.nowMs() * 1000),
      });
    return { folder, outcome: 'refused', shipments: 0, reason: error.message, hint: error.hint };
  }
}

/** Errors that say something of the bundle; others (the store is away) end the import, which can be repeated. */
const refusals: ReadonlySet<string> = new Set(['invalid', 'corrupt', 'denied']);

/** Puts what is not committed yet: segments, then manifests in order. Returns the number of shipments put. */
async function putBundle(options: ImportOptions, tenant: TenantId, bundle: VerifiedBundle): Promise<number> {
  const { store } = options;
  const { gateway, epoch } = bundle.index;
  await checkSameManifests(store, tenant, bundle);
  const committed: Position = (await options.receiptOf(tenant, gateway)) ?? origin;
  const isNew = ({ number }: { readonly number: number }): boolean =>
    comparePositions({ epoch, number }, committed) > 0;
  const fresh = bundle.shipments.filter(({ manifest }) => isNew(manifest));
  const keys = new Set(fresh.flatMap(({ manifest }) => manifest.segments).map(({ key }) => key));
  const folder = await mkdtemp(join(options.workDirectory, 'import-'));
  try {
    // A stick that fails now and then reads a file well once and badly the next time: what is put is a copy that was
    // checked itself, and no manifest is put before all segments are.
    const copy = join(folder, 'segment.parquet');
    for (const each of bundle.segments) {
      if (!keys.has(each.segment.key)) continue;
      await copySegment(each, copy);
      await store.putFile(each.segment.key, copy, { contentType: 'application/vnd.apache.parquet' });
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  for (const { manifest, body } of fresh) {
    await putManifest(store, manifestKey(tenant, gateway, epoch, manifest.number), body);
  }
  return fresh.length;
}

/** A manifest that came before must be the same: other bytes mean that two gateways ship under one identity. */
async function checkSameManifests(
  store: ObjectStore,
  tenant: TenantId,
  { index, shipments }: VerifiedBundle,
): Promise<void> {
  const { gateway, epoch, first, last } = index;
  const bodies = new Map(
    shipments.map(({ manifest, body }) => [manifestKey(tenant, gateway, epoch, manifest.number), body]),
  );
  const after = manifestKey(tenant, gateway, epoch, first - 1);
  const end = manifestKey(tenant, gateway, epoch, last);
  for await (const { key } of store.list(manifestPrefix(tenant, gateway), {
    after,
    limit: shipments.length,
  })) {
    if (key > end) return;
    const expected = bodies.get(key);
    if (expected) await checkSame(store, key, expected);
  }
}

async function putManifest(store: ObjectStore, key: string, body: Uint8Array): Promise<void> {
  try {
    await store.putIfAbsent(key, body, { contentType: 'application/json' });
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error;
    await checkSame(store, key, body);
  }
}

async function checkSame(store: ObjectStore, key: string, expected: Uint8Array): Promise<void> {
  const { body } = await store.get(key);
  if (!Buffer.from(body).equals(expected))
    throw refuse(`${key} is there already, with other content: two gateways ship under this identity`);
}

const nameOf = ({ tenant, gateway }: Taken): string => `${tenant}/${gateway}`;

/** The newest receipts, as soon as they cover all that can be committed; or when it has been waited long enough. */
async function awaitReceipts(
  { ingestNow, receiptOf, clock, receiptWaitMs }: ImportOptions,
  taken: readonly Taken[],
): Promise<Map<string, ReceiptText | undefined>> {
  const reached = new Map<string, ReceiptText | undefined>();
  const deadlineMs = clock.monotonicMs() + receiptWaitMs;
  const tenants = [...new Set(taken.map(({ tenant }) => tenant))];
  while (taken.length > 0) {
    await ingestNow(tenants);
    for (const each of taken) reached.set(nameOf(each), await receiptOf(each.tenant, each.gateway));
    const isPending = (each: Taken): boolean => {
      const at = reached.get(nameOf(each)) ?? origin;
      return comparePositions(each.last, at) > 0 && missingBefore(each, at) === undefined;
    };
    if (!taken.some(isPending) || clock.monotonicMs() >= deadlineMs) break;
    await clock.sleep(receiptPollMs);
  }
  return reached;
}

/** The shipment that must arrive before this bundle can be committed. */
function missingBefore({ first }: Taken, at: Position): number | undefined {
  const next = at.epoch === first.epoch ? at.number + 1 : 1;
  return next < first.number ? next : undefined;
}

function judge(bundle: Taken, receipt: ReceiptText | undefined): ImportedBundle {
  const { folder, gateway, first, last, shipments } = bundle;
  const at: Position = receipt ?? origin;
  const refused = receipt?.refused.find(
    (each) => comparePositions(each, first) >= 0 && comparePositions(each, last) <= 0,
  );
  if (refused) {
    const reason = `shipment ${refused.number} was refused: ${refused.reason}`;
    return { folder, outcome: 'refused', shipments, reason, hint: undefined };
  }
  if (comparePositions(last, at) <= 0)
    return { folder, outcome: 'committed', shipments, reason: undefined, hint: undefined };
  const missing = missingBefore(bundle, at);
  return {
    folder,
    outcome: 'waiting',
    shipments,
    reason: missing
      ? `it is in the inbox; shipment ${missing} of gateway ${gateway} must arrive before it can be committed`
      : 'it is in the inbox and not committed yet',
    hint: missing
      ? 'import the stick that holds it, or let the gateway ship it; then import this stick again for its receipt'
      : 'see the log of the cloud; import the stick again for its receipt',
  };
}

function refuse(message: string): FirnError {
  return new FirnError({ code: 'invalid', operation: 'import bundle', subject: 'bundle', message });
}
