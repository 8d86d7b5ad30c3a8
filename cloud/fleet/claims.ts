import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';
import type { GatewayId, SiteId, TenantId } from '../../lake/model/ids.ts';
import { hashClaimCode, makeClaimCode } from '../../provisioning/claim-code.ts';
import { printClaim } from '../../provisioning/contract.ts';
import { type Actor, type ChangeContext, optionalMs } from '../tenants/changes.ts';
import { noTenant } from '../tenants/tenant-administration.ts';
import { type ClaimRow, type FleetDatabase, fleetTables } from './fleet-database.ts';

/** How long a claim can be used. */
export const claimSeconds = z
  .number()
  .int()
  .min(60)
  .max(366 * 86_400)
  .default(30 * 86_400);

/** Claims of a tenant that can still be used. */
const claimsPerTenantMax = 10_000;

interface ClaimSpec {
  readonly site: SiteId;
  /** The one that it is for, which it replaces if it is there; absent: a new gateway. */
  readonly gateway?: GatewayId | undefined;
  readonly description: string;
  readonly expiresMs: number;
  readonly count: number;
}

interface ClaimInfo {
  readonly id: string;
  readonly site: string;
  readonly gateway: string | undefined;
  readonly description: string;
  readonly createdMs: number;
  readonly expiresMs: number;
  readonly revokedMs: number | undefined;
  readonly usedMs: number | undefined;
  readonly usedBy: string | undefined;
}

/** Throws FirnError `not-found`, `invalid` or `limit`. */
export interface Claims {
  /** With the claims as they are printed, which can't be shown again. */
  createClaims(
    tenant: TenantId,
    spec: ClaimSpec,
    actor: Actor,
  ): Promise<readonly { readonly id: string; readonly claim: string }[]>;
  /** The newest first. */
  listClaims(tenant: string): Promise<readonly ClaimInfo[]>;
  revokeClaim(tenant: string, id: string, actor: Actor): Promise<void>;
}

/** `pin`: see provisioning/contract.ts. */
export function openClaims(db: FleetDatabase, { clock, change }: ChangeContext, pin: string): Claims {
  return {
    createClaims: (tenant, { site, gateway = null, description, expiresMs, count }, actor) => {
      const made = Array.from({ length: count }, () => ({
        id: claimId(),
        code: makeClaimCode(),
      }));
      const detail = { site, gateway, description, expiresMs, count };
      const subject = count === 1 ? (made[0]?.id ?? '') : `${count} claims`;
      return change(actor, { action: 'create claims', tenant, subject, detail }, async (inner) => {
        const tx = fleetTables(inner);
        const created_ms = clock.nowMs();
        await checkRoom(tx, tenant, count, created_ms);
        const rows = made.map(({ id, code }) => ({
          ...{ id, tenant, site, gateway, description, created_ms, expires_ms: expiresMs },
          ...{ code_sha256: hashClaimCode(code), revoked_ms: null, used_ms: null, used_by: null },
        }));
        for (const row of rows) await tx.insertInto('claim').values(row).execute();
        return made.map(({ id, code }) => ({ id, claim: printClaim({ code, pin, url: undefined }) }));
      });
    },
    listClaims: async (tenant) => {
      const rows = db.selectFrom('claim').selectAll().where('tenant', '=', tenant);
      return (await rows.orderBy('created_ms', 'desc').orderBy('id').limit(claimsPerTenantMax).execute()).map(
        info,
      );
    },
    revokeClaim: (tenant, id, actor) =>
      change(actor, { action: 'revoke claim', tenant, subject: id }, async (inner) => {
        const { numUpdatedRows } = await fleetTables(inner)
          .updateTable('claim')
          .set({ revoked_ms: clock.nowMs() })
          .where('id', '=', id)
          .where('tenant', '=', tenant)
          .where('revoked_ms', 'is', null)
          .where('used_ms', 'is', null)
          .executeTakeFirst();
        if (Number(numUpdatedRows) > 0) return;
        throw new FirnError({
          ...{ code: 'not-found', operation: 'revoke claim', subject: id },
          message: `there is no claim ${id} that could still be used`,
          hint: 'list the claims of the tenant; a gateway that has used one is revoked itself',
        });
      }),
  };
}

export const claimId = (): string => `claim-${randomBytes(5).toString('hex')}`;

const info = (row: ClaimRow): ClaimInfo => ({
  ...{ id: row.id, site: row.site, gateway: row.gateway ?? undefined, description: row.description },
  ...{ createdMs: Number(row.created_ms), expiresMs: Number(row.expires_ms) },
  ...{ revokedMs: optionalMs(row.revoked_ms), usedMs: optionalMs(row.used_ms) },
  usedBy: row.used_by ?? undefined,
});

/** Throws FirnError `not-found` or `limit`. */
export async function checkRoom(
  tx: FleetDatabase,
  tenant: string,
  more: number,
  nowMs: number,
): Promise<void> {
  if (!(await tx.selectFrom('tenant').select('id').where('id', '=', tenant).executeTakeFirst()))
    throw noTenant(tenant);
  const { count } = await tx
    .selectFrom('claim')
    .select((each) => each.fn.countAll().as('count'))
    .where('tenant', '=', tenant)
    .where('revoked_ms', 'is', null)
    .where('used_ms', 'is', null)
    .where('expires_ms', '>', nowMs)
    .executeTakeFirstOrThrow();
  if (Number(count) + more <= claimsPerTenantMax) return;
  throw new FirnError({
    ...{ code: 'limit', operation: 'create claims', subject: tenant },
    message: `tenant ${tenant} would have more than ${claimsPerTenantMax} open claims (claimsPerTenantMax)`,
    hint: 'revoke claims that nobody will use',
  });
}
