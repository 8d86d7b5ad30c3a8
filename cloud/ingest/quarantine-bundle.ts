import type { TenantId } from '../../lake/model/ids.ts';
import { manifestKey } from '../../lake/model/keys.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';

/** What a bundle claims to be. */
interface Claim {
  readonly gateway: string;
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
}

/**
 * `<tenant>/quarantine/<gateway>/bundle-<epoch>-<first>-<last>.json`: not named like a refused shipment, for none was
 * refused: the same shipments may still come, whole.
 */
function keyOf(tenant: TenantId, { gateway, epoch, first, last }: Claim): string {
  const firstName = manifestKey(tenant, gateway, epoch, first).replace(/^.*\/|\.json$/g, '');
  return `${tenant}/quarantine/${gateway}/bundle-${firstName}-${last}.json`;
}

/** Records why a bundle was refused; it stays on its stick. */
export async function recordRefusal(
  store: ObjectStore,
  tenant: TenantId,
  refusal: Claim & { readonly folder: string; readonly reason: string; readonly refusedUs: number },
): Promise<void> {
  const { gateway, epoch, first, folder, reason, refusedUs } = refusal;
  const record = { format: 1, tenant, gateway, epoch, number: first, manifest: folder, reason, refusedUs };
  await store.put(keyOf(tenant, refusal), Buffer.from(`${JSON.stringify(record)}\n`), {
    contentType: 'application/json',
  });
}

/** The bundle came whole at last. */
export async function forgetRefusal(store: ObjectStore, tenant: TenantId, claim: Claim): Promise<void> {
  await store.delete(keyOf(tenant, claim));
}
