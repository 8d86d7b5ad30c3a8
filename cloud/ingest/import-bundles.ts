import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
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

const receiptPollMs = 250;

/** Takes all bundles of a stick that are whole and trusted, and leaves their receipts on it. */
export async function importBundles(options: ImportOptions): Promise<ImportResult> {
  const outcomes: (Taken | ImportedBundle)[] = [];
  for (const folder of await listBundles(options.stick.path))
    outcomes.push(await takeBundle(options, folder));
  const taken = outcomes.filter((outcome) => 'tenant' in outcome);
  const gateways = new Map(taken.map((each) => [`${each.tenant}/${each.gateway}`, each]));
  if (taken.length > 0) await options.ingestNow([...new Set(taken.map(({ tenant }) => tenant))]);
  const reached = new Map<string, ReceiptText | undefined>();
  for (const [name, { tenant, gateway }] of gateways) {
    const lasts = taken
      .filter((each) => each.tenant === tenant && each.gateway === gateway)
      .map(({ last }) => last);
    reached.set(name, await awaitReceipt(options, tenant, gateway, lasts));
  }
  const receipts: ImportResult['receipts'][number][] = [];
  for (const [name, { tenant, gateway }] of gateways) {
    const receipt = reached.get(name);
    if (!receipt) continue;
    const { epoch, number, text } = receipt;
    const file = await writeReceiptFile(options.stick, { tenant, gateway, text }, options.signer);
    receipts.push({ gateway, epoch, number, file });
  }
  const bundles = outcomes.map((outcome) =>
    'tenant' in outcome ? judge(outcome, reached.get(`${outcome.tenant}/${outcome.gateway}`)) : outcome,
  );
  return { bundles, receipts };
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
      await recordRefusal(options.store, tenant, { ...named, folder, reason: error.message });
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

/** The newest receipt of a gateway, as soon as it covers the last of these; or when it has been waited long enough. */
async function awaitReceipt(
  { receiptOf, clock, receiptWaitMs }: ImportOptions,
  tenant: TenantId,
  gateway: string,
  positions: readonly Position[],
): Promise<ReceiptText | undefined> {
  const deadlineMs = clock.monotonicMs() + receiptWaitMs;
  for (;;) {
    const receipt = await receiptOf(tenant, gateway);
    const covered = receipt && positions.every((position) => comparePositions(position, receipt) <= 0);
    if (covered || clock.monotonicMs() >= deadlineMs) return receipt;
    await clock.sleep(receiptPollMs);
  }
}

function judge(
  { folder, gateway, first, last, shipments }: Taken,
  receipt: ReceiptText | undefined,
): ImportedBundle {
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
  const next = at.epoch === first.epoch ? at.number + 1 : 1;
  const gap = next < first.number;
  return {
    folder,
    outcome: 'waiting',
    shipments,
    reason: gap
      ? `it is in the inbox; shipment ${next} of gateway ${gateway} must arrive before it can be committed`
      : 'it is in the inbox and not committed yet',
    hint: gap
      ? 'import the stick that holds it, or let the gateway ship it; then import this stick again for its receipt'
      : 'see the log of the cloud; import the stick again for its receipt',
  };
}

function refuse(message: string): FirnError {
  return new FirnError({ code: 'invalid', operation: 'import bundle', subject: 'bundle', message });
}
