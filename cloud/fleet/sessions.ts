import { z } from 'zod';
import { hasCode } from '../../lake/base/errors.ts';
import { leadsTo, openJws } from '../../lake/base/jws.ts';
import { type TenantId, tenantId } from '../../lake/model/ids.ts';
import {
  keyHashOf,
  parseGatewayUri,
  type SessionAnswer,
  sessionPayload,
  sessionType,
} from '../../provisioning/contract.ts';
import { certificatesFor, type EnrollmentOptions, readRequest, validity } from './enrollment.ts';
import { fleetTables, type GatewayRow } from './fleet-database.ts';
import type { Tokens } from './tokens.ts';

// A gateway proves that it has its key by signing a challenge; what its certificate says counts, and that its key is the
// one that is known of it. That the certificate is over does not matter: a gateway may have been away for a year. Who is
// not to come back is revoked.

const challengeMs = 60_000;
const tokenMs = 3_600_000;
/** Part of a certificate's time after which it is renewed. */
const renewAfter = 1 / 3;

/** A gateway that has proved who it is. */
export interface DeviceAccess {
  readonly tenant: TenantId;
  readonly site: string;
  readonly gateway: string;
  readonly group: string;
}

export interface Sessions {
  challenge(): string;
  /** Undefined when who signed this is no gateway, or no more. Throws FirnError `invalid` for a wrong certificate request. */
  begin(signed: string): Promise<SessionAnswer | undefined>;
  /** Whose token it is; undefined when it does not count. */
  accessOf(token: string): Promise<DeviceAccess | undefined>;
}

const challengeClaims = z.object({});
const tokenClaims = z.object({ tenant: z.string(), gateway: z.string(), keyHash: z.string() });

export function openSessions(options: EnrollmentOptions, tokens: Tokens): Sessions {
  const { clock, db } = options.context;
  const rowOf = async (tenant: string, id: string): Promise<GatewayRow | undefined> => {
    const gateways = fleetTables(db).selectFrom('gateway').selectAll().where('tenant', '=', tenant);
    const row = await gateways.where('id', '=', id).executeTakeFirst();
    return row?.revoked_ms === null && options.isActive(tenant) ? row : undefined;
  };
  return {
    challenge: () => tokens.seal('challenge', {}, clock.nowMs() + challengeMs),
    begin: async (signed) => {
      const opened = openedSession(options, signed);
      const isFresh =
        opened !== undefined &&
        tokens.open('challenge', challengeClaims, opened.challenge, clock.nowMs()) !== undefined;
      if (!isFresh) return undefined;
      const row = await rowOf(opened.tenant, opened.gateway);
      const { keyHash } = opened;
      if (row === undefined || (row.key_sha256 !== keyHash && row.next_key_sha256 !== keyHash))
        return undefined;
      const { tenant, id: gateway, site } = row;
      const certificates = await renew(options, row, keyHash, opened.certificateRequest);
      const token = tokens.seal('token', { tenant, gateway, keyHash }, clock.nowMs() + tokenMs);
      const answer = { token, expiresInSeconds: tokenMs / 1000, signsReceipts: true };
      if (certificates !== undefined) return { ...answer, renew: false, certificates };
      return { ...answer, renew: opened.isDue || opened.site !== site };
    },
    accessOf: async (token) => {
      const claims = tokens.open('token', tokenClaims, token, clock.nowMs());
      const row = claims && (await rowOf(claims.tenant, claims.gateway));
      if (!claims || !row || (row.key_sha256 !== claims.keyHash && row.next_key_sha256 !== claims.keyHash))
        return undefined;
      const { id: gateway, site, group_name: group } = row;
      return { tenant: tenantId(row.tenant), site, gateway, group };
    },
  };
}

interface OpenedSession {
  readonly tenant: string;
  /** As its certificate says, which may be older than the gateway's move. */
  readonly site: string;
  readonly gateway: string;
  readonly keyHash: string;
  readonly challenge: string;
  readonly certificateRequest: string | undefined;
  readonly isDue: boolean;
}

/** Undefined when it is not signed by a device with a certificate of this authority. */
function openedSession({ authority, context }: EnrollmentOptions, signed: string): OpenedSession | undefined {
  const jws = openedOrNot(signed);
  const payload = sessionPayload.safeParse(jws?.payload).data;
  if (jws?.header.typ !== sessionType || payload === undefined) return undefined;
  const [own] = jws.certificates;
  const who = parseGatewayUri(own);
  if (who === undefined || !leadsTo(jws.certificates, authority.root)) return undefined;
  const [fromMs, untilMs] = [Date.parse(own.validFrom), Date.parse(own.validTo)];
  const isDue = context.clock.nowMs() > fromMs + (untilMs - fromMs) * renewAfter;
  const { challenge, certificateRequest } = payload;
  return { ...who, keyHash: keyHashOf(own), challenge, certificateRequest, isDue };
}

function openedOrNot(signed: string) {
  try {
    return openJws(signed, 'the session request');
  } catch (error) {
    if (hasCode(error, 'denied')) return undefined;
    throw error;
  }
}

/**
 * The certificates that were asked for. For another key than the gateway has: that key counts beside the old one until the
 * gateway comes with it, since this answer may be lost.
 */
async function renew(
  options: EnrollmentOptions,
  row: GatewayRow,
  keyHash: string,
  asked: string | undefined,
): Promise<string[] | undefined> {
  const { tenant, id, site } = row;
  const tx = fleetTables(options.context.db);
  const gateway = () => tx.updateTable('gateway').where('tenant', '=', tenant).where('id', '=', id);
  if (keyHash === row.next_key_sha256)
    await gateway().set({ key_sha256: keyHash, next_key_sha256: null }).execute();
  if (asked === undefined) return undefined;
  const request = await readRequest(asked);
  await gateway()
    .set({
      ...(request.keyHash !== keyHash && { next_key_sha256: request.keyHash }),
      certificate_until_ms: validity(options).untilMs,
    })
    .execute();
  return certificatesFor(options, { tenant, site, gateway: id }, request);
}
