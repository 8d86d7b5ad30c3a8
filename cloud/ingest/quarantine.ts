import { z } from 'zod';
import { hasCode } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { manifestName } from '../../lake/model/keys.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import type { Arrival } from './inbox.ts';
import { comparePositions, type Position } from './marks.ts';

/** A shipment that was refused, or a bundle of them on a stick (quarantine-bundle.ts), as it is stored and shown. */
export type QuarantineRecord = z.infer<typeof recordSchema>;

const recordSchema = z.object({
  format: z.literal(1),
  tenant: z.string(),
  gateway: z.string(),
  epoch: z.number().int(),
  number: z.number().int(),
  /**
   * Key of the manifest; it and the segments stay in the inbox, so that they can be looked at and sent again. Of a bundle
   * its folder, which stays on the stick; `number` is its first shipment.
   */
  manifest: z.string(),
  reason: z.string(),
  refusedUs: z.number().int(),
});

const quarantinePrefix = (tenant: TenantId): string => `${tenant}/quarantine/`;
const recordsConcurrentMax = 8;
/** Records that one listing looks at. */
const recordsListedMax = 10_000;

/** `<tenant>/quarantine/<gateway>/<manifest name>.json` */
export function quarantineKey(tenant: TenantId, gateway: string, manifestKey: string): string {
  return `${quarantinePrefix(tenant)}${gateway}/${manifestKey.slice(manifestKey.lastIndexOf('/') + 1)}`;
}

/** Records why a shipment was refused. The first verdict stands, whoever finds what later. */
export async function quarantine(
  store: ObjectStore,
  tenant: TenantId,
  gateway: string,
  arrival: Arrival,
  reason: string,
  refusedUs: number,
): Promise<QuarantineRecord> {
  const position = arrival.position;
  const record = {
    format: 1,
    tenant,
    gateway,
    ...position,
    manifest: arrival.key,
    reason,
    refusedUs,
  } as const;
  const key = quarantineKey(tenant, gateway, arrival.key);
  try {
    await store.putIfAbsent(key, Buffer.from(`${JSON.stringify(record)}\n`), {
      contentType: 'application/json',
    });
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error;
  }
  return record;
}

/** Which shipments of a gateway after a position were refused, in order. */
export async function refusedPositions(
  store: ObjectStore,
  tenant: TenantId,
  gateway: string,
  after: Position,
): Promise<Position[]> {
  const prefix = `${quarantinePrefix(tenant)}${gateway}/`;
  const found: Position[] = [];
  for await (const { key } of store.list(prefix, { after: `${prefix}${manifestName(after)}` })) {
    const match = /^(\d{12})-(\d{16})\.json$/.exec(key.slice(prefix.length));
    if (match) found.push({ epoch: Number(match[1]), number: Number(match[2]) });
  }
  return found;
}

/** Records by position, in that order. */
export function readRecords(
  store: ObjectStore,
  tenant: TenantId,
  gateway: string,
  positions: readonly Position[],
): Promise<QuarantineRecord[]> {
  return mapConcurrent(positions, recordsConcurrentMax, (position) =>
    readRecord(store, quarantineKey(tenant, gateway, manifestName(position))),
  );
}

async function readRecord(store: ObjectStore, key: string): Promise<QuarantineRecord> {
  const { body } = await store.get(key);
  return parseDocument(recordSchema, Buffer.from(body).toString(), 'quarantine record', key);
}

export interface QuarantineListing {
  /** Those with the newest positions first. */
  readonly records: readonly QuarantineRecord[];
  /** There are more than were asked for. */
  readonly more: boolean;
}

/** What was refused of a tenant, or of one gateway of it. */
export async function listQuarantine(
  store: ObjectStore,
  tenant: TenantId,
  options: { readonly gateway?: string | undefined; readonly limit: number },
): Promise<QuarantineListing> {
  const { gateway, limit } = options;
  const prefix = quarantinePrefix(tenant) + (gateway === undefined ? '' : `${gateway}/`);
  const found: { key: string; position: Position }[] = [];
  for await (const { key } of store.list(prefix, { limit: recordsListedMax })) {
    const match = /\/(?:bundle-)?(\d{12})-(\d{16})(?:-\d+)?\.json$/.exec(key);
    if (match) found.push({ key, position: { epoch: Number(match[1]), number: Number(match[2]) } });
  }
  found.sort((a, b) => comparePositions(b.position, a.position));
  const records = await mapConcurrent(found.slice(0, limit), recordsConcurrentMax, ({ key }) =>
    readRecord(store, key),
  );
  return { records, more: found.length > limit || found.length === recordsListedMax };
}
