import type { TenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { Arrival } from './inbox.ts';

/** `<tenant>/quarantine/<gateway>/<manifest name>.json` */
export function quarantineKey(tenant: TenantId, gateway: string, manifestKey: string): string {
  return `${tenant}/quarantine/${gateway}/${manifestKey.slice(manifestKey.lastIndexOf('/') + 1)}`;
}

/**
 * Records why a shipment was refused; its objects stay in the inbox, so that it can be looked at and sent again. Writing
 * it again writes the same bytes.
 */
export async function quarantine(
  store: ObjectStore,
  tenant: TenantId,
  gateway: string,
  arrival: Arrival,
  reason: string,
): Promise<void> {
  const record = { format: 1, tenant, gateway, ...arrival.position, manifest: arrival.key, reason };
  const key = quarantineKey(tenant, gateway, arrival.key);
  await store.put(key, Buffer.from(`${JSON.stringify(record)}\n`), { contentType: 'application/json' });
}
