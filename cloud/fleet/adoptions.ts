import type { z } from 'zod';
import { FirnError } from '../../lake/base/errors.ts';
import type { GatewayId, SiteId, TenantId } from '../../lake/model/ids.ts';
import { hashClaimCode } from '../../provisioning/claim-code.ts';
import type { AdoptionAnswer, adoptionRequest } from '../../provisioning/contract.ts';
import { deviceCodeOf, printDeviceCode } from '../../provisioning/device-code.ts';
import { type Actor, type ChangeContext, optionalMs } from '../tenants/changes.ts';
import { checkRoom, claimId } from './claims.ts';
import { type EnrollmentOptions, enrollBy, readRequest, used } from './enrollment.ts';
import { type ClaimRow, type FleetDatabase, fleetTables } from './fleet-database.ts';
import type { WaitingDevice, WaitingDevices } from './waiting-devices.ts';

// A device without a claim shows a code of its key. Who adopts it makes a claim that this key alone can use: before the
// device has asked or after it. So nothing is stored of devices that nobody has adopted, and nobody can see them who has
// not read their code.

interface AdoptionSpec {
  /** As parseDeviceCode gives it. */
  readonly code: string;
  readonly site: SiteId;
  /** Absent: what the device asks for. */
  readonly gateway: GatewayId | undefined;
  /** Whether it may take the place of a gateway that is there. */
  readonly replace: boolean;
  readonly description: string;
  readonly expiresMs: number;
}

export interface AdoptionInfo {
  readonly code: string;
  /** The claim that adopts it; undefined: nobody of this tenant has. */
  readonly claim:
    | {
        readonly id: string;
        readonly site: string;
        readonly gateway: string | undefined;
        readonly expiresMs: number;
        readonly usedMs: number | undefined;
        readonly usedBy: string | undefined;
      }
    | undefined;
  /** Undefined when the device has not asked lately. */
  readonly device: WaitingDevice | undefined;
}

/** Throws FirnError `not-found`, `conflict`, `invalid` or `limit`. */
export interface Adoptions {
  adopt(tenant: TenantId, spec: AdoptionSpec, actor: Actor): Promise<AdoptionInfo>;
  /** Devices that are adopted and have not come since. */
  listAdoptions(tenant: string): Promise<readonly AdoptionInfo[]>;
  /** The device with this code, as far as it is anything of this tenant. */
  adoptionOf(tenant: string, code: string): Promise<AdoptionInfo>;
}

export function openAdoptions(
  db: FleetDatabase,
  { clock, change }: ChangeContext,
  waiting: WaitingDevices,
): Adoptions {
  const infoOf = (tenant: string, code: string, row: ClaimRow | undefined): AdoptionInfo => ({
    ...{ code, device: waiting.find(code, tenant) },
    claim: row && {
      ...{ id: row.id, site: row.site, gateway: row.gateway ?? undefined, usedBy: row.used_by ?? undefined },
      ...{ expiresMs: Number(row.expires_ms), usedMs: optionalMs(row.used_ms) },
    },
  });
  const claims = (tenant: string) =>
    db.selectFrom('claim').selectAll().where('tenant', '=', tenant).where('revoked_ms', 'is', null);
  return {
    adopt: (tenant, spec, actor) => {
      const { code, site, gateway, expiresMs } = spec;
      const device = waiting.find(code, tenant);
      const id = claimId();
      const detail = { code: printDeviceCode(code), site, gateway: gateway ?? null, expiresMs };
      return change(actor, { action: 'adopt device', tenant, subject: id, detail }, async (inner) => {
        const tx = fleetTables(inner);
        await checkRoom(tx, tenant, 1, clock.nowMs());
        await clearCode(tx, tenant, code, device?.tenant === tenant, clock.nowMs());
        const row: ClaimRow = {
          ...{ id, tenant, site, created_ms: clock.nowMs(), expires_ms: expiresMs },
          ...{ code_sha256: hashClaimCode(code), device_code: code },
          description: spec.description || `device ${printDeviceCode(code)}`,
          gateway: (await replaced(tx, tenant, gateway ?? device?.gateway, spec)) ?? gateway ?? null,
          ...{ revoked_ms: null, used_ms: null, used_by: null },
        };
        await tx.insertInto('claim').values(row).execute();
        return infoOf(tenant, code, row);
      });
    },
    listAdoptions: async (tenant) => {
      const open = claims(tenant).where('used_ms', 'is', null).where('expires_ms', '>', clock.nowMs());
      const rows = await open.where('device_code', 'is not', null).orderBy('created_ms', 'desc').execute();
      return rows.map((row) => infoOf(tenant, row.device_code ?? '', row));
    },
    adoptionOf: async (tenant, code) => {
      const row = await claims(tenant).where('code_sha256', '=', hashClaimCode(code)).executeTakeFirst();
      const info = infoOf(tenant, code, row);
      if (info.claim !== undefined || info.device !== undefined) return info;
      throw new FirnError({
        ...{ code: 'not-found', operation: 'find device', subject: code },
        message: 'no device with this code has asked in the last ten minutes, and it is not adopted',
        hint: 'is it switched on, and does it reach the cloud? Its console says so; it can be adopted in any case',
      });
    },
  };
}

/** Takes the code from a claim that does not count any more; throws FirnError `conflict` where one does. */
async function clearCode(
  tx: FleetDatabase,
  tenant: string,
  code: string,
  isOurs: boolean,
  nowMs: number,
): Promise<void> {
  const claims = () => tx.selectFrom('claim').selectAll().where('code_sha256', '=', hashClaimCode(code));
  const before = await claims().executeTakeFirst();
  if (before === undefined) return;
  const gateway = await used(tx, before);
  const isEnrolled =
    gateway !== undefined && gateway.revoked_ms === null && deviceCodeOf(gateway.key_sha256) === code;
  const isOpen = before.used_ms === null && before.revoked_ms === null && Number(before.expires_ms) > nowMs;
  // A device that names its tenant is not kept from it by who has read its code.
  if (isEnrolled || (isOpen && before.tenant !== tenant && !isOurs))
    throw taken(code, before.tenant === tenant ? gateway?.id : undefined);
  await tx
    .updateTable('claim')
    .set({
      code_sha256: `replaced ${before.id}`,
      ...(before.used_ms === null && before.revoked_ms === null && { revoked_ms: nowMs }),
    })
    .where('id', '=', before.id)
    .execute();
}

/** The gateway whose place the device takes; throws FirnError `conflict` when that was not asked for. */
async function replaced(
  tx: FleetDatabase,
  tenant: string,
  id: string | undefined,
  { replace }: AdoptionSpec,
): Promise<string | undefined> {
  if (id === undefined) return undefined;
  const gateways = tx.selectFrom('gateway').select('revoked_ms').where('tenant', '=', tenant);
  const there = await gateways.where('id', '=', id).executeTakeFirst();
  if (there === undefined) return undefined;
  if (replace || there.revoked_ms !== null) return id;
  throw new FirnError({
    ...{ code: 'conflict', operation: 'adopt', subject: id },
    message: `there is a gateway ${id} already`,
    hint: '--replace lets this device take its place; --gateway gives this one another id',
  });
}

const taken = (code: string, gateway: string | undefined): FirnError =>
  new FirnError({
    ...{ code: 'conflict', operation: 'adopt', subject: code },
    message: gateway === undefined ? 'this code is taken' : `this device is gateway ${gateway} already`,
    hint: 'a device gets another code when it is reset (firn appliance reset)',
  });

/** A device asks whether somebody has adopted it. Throws FirnError as `enroll` does. */
export async function askForAdoption(
  options: EnrollmentOptions,
  waiting: WaitingDevices,
  { certificateRequest, gateway, tenant }: z.infer<typeof adoptionRequest>,
  address: string,
): Promise<AdoptionAnswer> {
  const asked = await readRequest(certificateRequest);
  const code = deviceCodeOf(asked.keyHash);
  const againInSeconds = waiting.note(code, { address, gateway, tenant });
  const enrolled = await enrollBy(options, { code, asked, gateway, tenant, address });
  if (enrolled === undefined) return { againInSeconds };
  waiting.forget(code);
  return { enrolled };
}
