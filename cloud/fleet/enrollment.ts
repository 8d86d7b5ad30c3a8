import { randomBytes } from 'node:crypto';
import type { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';
import { newGatewayId } from '../../lake/model/ids.ts';
import type { Authority } from '../../provisioning/authority-files.ts';
import type { CertificateRequest } from '../../provisioning/certificate-request.ts';
import { hashClaimCode } from '../../provisioning/claim-code.ts';
import {
  type EnrollAnswer,
  type enrollRequest,
  gatewayUri,
  parseClaim,
} from '../../provisioning/contract.ts';
import type { Actor, ChangeContext } from '../tenants/changes.ts';
import { type ClaimRow, type FleetDatabase, fleetTables, type GatewayRow } from './fleet-database.ts';

/** Gateways of a tenant. */
const gatewaysPerTenantMax = 100_000;

export interface EnrollmentOptions {
  readonly context: ChangeContext;
  readonly authority: Authority;
  readonly certificateDays: number;
  /** Whether a tenant is there and not suspended. */
  readonly isActive: (tenant: string) => boolean;
}

/**
 * Makes a device that holds a claim a gateway: once for each claim, but again for the device that has used it, whose answer
 * may have been lost. Throws FirnError `denied`, `invalid`, `conflict` or `limit`.
 */
export async function enroll(
  options: EnrollmentOptions,
  { claim, certificateRequest, gateway }: z.infer<typeof enrollRequest>,
  address: string,
): Promise<EnrollAnswer> {
  const code = parseClaim(claim).code;
  const asked = await readRequest(certificateRequest);
  const enrolled = await enrollBy(options, { code, asked, gateway, address });
  if (enrolled === undefined) throw claimRefused();
  return enrolled;
}

/** It loads a library that takes a while, so a cloud that enrolls nobody does not. */
export async function readRequest(certificateRequest: string): Promise<CertificateRequest> {
  const { readCertificateRequest } = await import('../../provisioning/certificate-request.ts');
  return readCertificateRequest(certificateRequest);
}

/** The same for any code; undefined where none counts. `tenant`: the only one that may have made it. */
export async function enrollBy(
  options: EnrollmentOptions,
  by: {
    readonly code: string;
    readonly asked: CertificateRequest;
    readonly gateway: string | undefined;
    readonly tenant?: string | undefined;
    readonly address: string;
  },
): Promise<EnrollAnswer | undefined> {
  const { context, isActive } = options;
  const { code, asked, tenant, address } = by;
  const claim = await fleetTables(context.db)
    .selectFrom('claim')
    .selectAll()
    .where('code_sha256', '=', hashClaimCode(code))
    .executeTakeFirst();
  if (claim === undefined || claim.revoked_ms !== null || !isActive(claim.tenant)) return undefined;
  if (tenant !== undefined && tenant !== claim.tenant) return undefined;
  const known = await used(fleetTables(context.db), claim);
  if (known !== undefined) {
    if (known.revoked_ms !== null || known.key_sha256 !== asked.keyHash) return undefined;
    return answer(options, known, asked);
  }
  if (claim.used_ms !== null || Number(claim.expires_ms) <= context.clock.nowMs()) return undefined;
  const id = newGatewayId(claim.gateway ?? by.gateway ?? `gw-${randomBytes(4).toString('hex')}`);
  const actor: Actor = { name: claim.id, address };
  const what = { action: 'enroll gateway', tenant: claim.tenant, subject: id, detail: { site: claim.site } };
  const row = await context.change(actor, what, async (inner) => {
    const tx = fleetTables(inner);
    await takeClaim(tx, claim, id, context.clock.nowMs());
    return putGateway(tx, claim, id, { keyHash: asked.keyHash, ...validity(options) });
  });
  return answer(options, row, asked);
}

/** The gateway that has used a claim, if it still has the key that it came with then. */
export async function used(db: FleetDatabase, claim: ClaimRow): Promise<GatewayRow | undefined> {
  if (claim.used_by === null) return undefined;
  const gateways = db.selectFrom('gateway').selectAll().where('tenant', '=', claim.tenant);
  return gateways.where('id', '=', claim.used_by).executeTakeFirst();
}

async function takeClaim(
  tx: FleetDatabase,
  claim: ClaimRow,
  used_by: string,
  used_ms: number,
): Promise<void> {
  const { numUpdatedRows } = await tx
    .updateTable('claim')
    .set({ used_ms, used_by })
    .where('id', '=', claim.id)
    .where('used_ms', 'is', null)
    .where('revoked_ms', 'is', null)
    .executeTakeFirst();
  if (Number(numUpdatedRows) === 0) throw claimRefused();
}

/** A claim for a gateway that is there replaces its key: the board was swapped. */
async function putGateway(
  tx: FleetDatabase,
  { tenant, site, gateway }: ClaimRow,
  id: string,
  device: { readonly keyHash: string; readonly nowMs: number; readonly untilMs: number },
): Promise<GatewayRow> {
  const { count } = await tx
    .selectFrom('gateway')
    .select((each) => each.fn.countAll().as('count'))
    .where('tenant', '=', tenant)
    .executeTakeFirstOrThrow();
  if (Number(count) >= gatewaysPerTenantMax)
    throw new FirnError({
      ...{ code: 'limit', operation: 'enroll', subject: tenant },
      message: `the tenant has ${gatewaysPerTenantMax} gateways (gatewaysPerTenantMax)`,
    });
  const row = {
    ...{ tenant, id, site, key_sha256: device.keyHash, next_key_sha256: null },
    ...{ created_ms: device.nowMs, certificate_until_ms: device.untilMs, revoked_ms: null, group_name: '' },
  };
  // A board that takes the place of another stays in its group.
  const { group_name: _, ...replaced } = row;
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('gateway')
    .values(row)
    .onConflict((conflict) => {
      const same = conflict.columns(['tenant', 'id']);
      return gateway === null ? same.doNothing() : same.doUpdateSet(replaced);
    })
    .executeTakeFirst();
  if (Number(numInsertedOrUpdatedRows ?? 0) > 0) return row;
  throw new FirnError({
    ...{ code: 'conflict', operation: 'enroll', subject: id },
    message: `there is a gateway ${id} already`,
    hint: `give this one another id (--gateway), or, if it replaces that one, let it in for that: firn claims create --gateway ${id}, or firn gateways adopt --gateway ${id} --replace`,
  });
}

async function answer(
  options: EnrollmentOptions,
  { tenant, site, id: gateway }: GatewayRow,
  request: CertificateRequest,
): Promise<EnrollAnswer> {
  return {
    tenant,
    site,
    gateway,
    certificates: await certificatesFor(options, { tenant, site, gateway }, request),
  };
}

/** A gateway's certificate, and those above it. */
export async function certificatesFor(
  options: EnrollmentOptions,
  who: { readonly tenant: string; readonly site: string; readonly gateway: string },
  { publicKey }: CertificateRequest,
): Promise<string[]> {
  const { authority, certificateDays } = options;
  const own = await authority.issue({
    ...{ commonName: who.gateway, uri: gatewayUri(who.tenant, who.site, who.gateway), publicKey },
    ...{ nowMs: options.context.clock.nowMs(), days: certificateDays },
  });
  return [own, ...authority.above];
}

export function validity({ context, certificateDays }: EnrollmentOptions): {
  readonly nowMs: number;
  readonly untilMs: number;
} {
  const nowMs = context.clock.nowMs();
  return { nowMs, untilMs: nowMs + certificateDays * 86_400_000 };
}

/** The same words for every reason: nobody learns which claims there are. */
const claimRefused = (): FirnError =>
  new FirnError({
    ...{ code: 'denied', operation: 'enroll', subject: 'claim' },
    message: 'this claim does not count: it is wrong, used, over or revoked',
    hint: 'ask for another: `firn claims create` makes one',
  });
