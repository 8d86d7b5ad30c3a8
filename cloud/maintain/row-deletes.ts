import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { type RollupTable, rollupTables, type TableName, tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { mapConcurrent } from '../catalog/concurrent.ts';
import { maintainPrefix } from './lease.ts';
import { parseConditions } from './row-rules.ts';

// Requests of a tenant to delete rows. A request is an object; the maintainers carry it out for what was committed until
// then, and write into it that it is done.

const requestJson = z.object({
  format: z.literal(1),
  id: z.string(),
  table: z.enum(tableNames),
  selector: z.string(),
  /** Microseconds, both inclusive. */
  fromUs: z.number().optional(),
  toUs: z.number().optional(),
  requestedMs: z.number(),
  doneMs: z.number().optional(),
  rowsDeleted: z.number().default(0),
  /** Of a request about metrics: in which rollups it is carried out. */
  rollups: z.array(z.enum(rollupTables)).default([]),
});

/** One request, and how far it is. */
export type DeleteRequest = z.infer<typeof requestJson>;

/** Requests that one listing gives. */
const requestsListedMax = 1_000;
const requestsConcurrentMax = 8;

const pendingPrefix = (tenant: TenantId): string => `${maintainPrefix(tenant)}deletes/`;
const donePrefix = (tenant: TenantId): string => `${maintainPrefix(tenant)}deletes-done/`;

export interface NewDelete {
  readonly table: TableName;
  readonly selector: string;
  readonly fromUs?: number | undefined;
  readonly toUs?: number | undefined;
}

/** Throws FirnError `invalid` for a selector that is none, or would delete everything for all time. */
export async function requestDelete(
  store: ObjectStore,
  tenant: TenantId,
  { table, selector, fromUs, toUs }: NewDelete,
  nowMs: number,
): Promise<DeleteRequest> {
  if (parseConditions(selector).length === 0 && fromUs === undefined && toUs === undefined)
    throw new FirnError({
      code: 'invalid',
      operation: 'delete rows',
      subject: table,
      message: `a request without selector and times would delete all of ${table}`,
      hint: 'give a selector, or from and to',
    });
  // Ids are in order of time, and so are their keys.
  const id = `${String(Math.floor(nowMs)).padStart(14, '0')}-${randomUUID().slice(0, 8)}`;
  const times = { ...(fromUs !== undefined && { fromUs }), ...(toUs !== undefined && { toUs }) };
  const request: DeleteRequest = {
    format: 1,
    rollups: [],
    id,
    table,
    selector,
    ...times,
    requestedMs: nowMs,
    rowsDeleted: 0,
  };
  await store.putIfAbsent(`${pendingPrefix(tenant)}${id}.json`, printRequest(request));
  return request;
}

const printRequest = (request: DeleteRequest): Buffer => Buffer.from(`${JSON.stringify(request)}\n`);

/** Not carried out yet, the oldest first; at most `requestsListedMax`, the rest comes when these are done. */
export async function listPendingDeletes(
  store: ObjectStore,
  tenant: TenantId,
): Promise<readonly DeleteRequest[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(pendingPrefix(tenant), { limit: requestsListedMax })) keys.push(key);
  return readRequests(store, keys);
}

/** The newest, done and not done, the oldest of them first. */
export async function listDeletes(store: ObjectStore, tenant: TenantId): Promise<readonly DeleteRequest[]> {
  const keys: string[] = [];
  for (const prefix of [donePrefix(tenant), pendingPrefix(tenant)])
    for await (const { key } of store.list(prefix)) keys.push(key);
  const found = await readRequests(store, keys.slice(-requestsListedMax));
  // One that is being finished right now is in both places.
  const byId = new Map(found.map((request) => [request.id, request]));
  for (const request of found) if (request.doneMs !== undefined) byId.set(request.id, request);
  return [...byId.values()];
}

async function readRequests(store: ObjectStore, keys: readonly string[]): Promise<readonly DeleteRequest[]> {
  const found = await mapConcurrent(keys, requestsConcurrentMax, async (key) => {
    try {
      const { body } = await store.get(key);
      return [parseDocument(requestJson, Buffer.from(body).toString(), 'delete request', key)];
    } catch (error) {
      if (hasCode(error, 'not-found')) return [];
      throw error;
    }
  });
  return found.flat();
}

/** Notes that a rollup is done with it. Of two that note at once one is lost, and carries it out once more. */
export async function noteInRollup(
  store: ObjectStore,
  tenant: TenantId,
  { id }: DeleteRequest,
  rollup: RollupTable,
  rows: number,
): Promise<void> {
  const key = `${pendingPrefix(tenant)}${id}.json`;
  const [found] = await readRequests(store, [key]);
  if (!found) return;
  const rollups = [...new Set([...found.rollups, rollup])];
  await store.put(key, printRequest({ ...found, rollups, rowsDeleted: found.rowsDeleted + rows }));
}

/** Killed in between, it is carried out again, which finds nothing more. */
export async function finishDelete(
  store: ObjectStore,
  tenant: TenantId,
  request: DeleteRequest,
): Promise<void> {
  await store.put(`${donePrefix(tenant)}${request.id}.json`, printRequest(request));
  await store.delete(`${pendingPrefix(tenant)}${request.id}.json`);
}
