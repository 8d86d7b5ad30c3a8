import type { TenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';

/** What a bundle claims to be. */
interface Claim {
  readonly gateway: string;
  readonly epoch: number;
  readonly first: number;
  readonly last: number;
}

/** `<tenant>/quarantine/<gateway>/bundle-<epoch>-<first>-<last>.json` */
const keyOf = (tenant: TenantId, { gateway, epoch, first, last }: Claim): string =>
  `${tenant}/quarantine/${gateway}/bundle-${epoch}-${first}-${last}.json`;

/** Records why a bundle was refused; it stays on its stick. */
export async function recordRefusal(
  store: ObjectStore,
  tenant: TenantId,
  refusal: Claim & { readonly folder: string; readonly reason: string },
): Promise<void> {
  const { gateway, epoch, first, folder, reason } = refusal;
  const record = { format: 1, tenant, gateway, epoch, number: first, manifest: folder, reason };
  await store.put(keyOf(tenant, refusal), Buffer.from(`${JSON.stringify(record)}\n`), {
    contentType: 'application/json',
  });
}

/** The bundle came whole at last. */
export async function forgetRefusal(store: ObjectStore, tenant: TenantId, claim: Claim): Promise<void> {
  await store.delete(keyOf(tenant, claim));
}
