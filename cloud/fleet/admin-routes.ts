import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Clock } from '../../lake/base/clock.ts';
import { gatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { gatewayReport } from '../../provisioning/contract.ts';
import { type AdminApiOptions, adminApi, noBody, time, timeText } from '../tenants/admin-api.ts';
import type { RouteDescription } from '../tenants/open-api.ts';
import type { Claims } from './claims.ts';
import type { GatewayInfo, Gateways } from './gateways.ts';

// The part of the admin API that is about claims and gateways.

const claimSecondsMax = 366 * 86_400;
const claimSecondsDefault = 30 * 86_400;
/** Claims made at once: a batch to print. */
const claimsMax = 500;

const claimBody = z.strictObject({
  site: z.string().describe('Site where the gateway will stand'),
  gateway: z
    .string()
    .optional()
    .describe('Id of the gateway that it is for, which it replaces if it is there; else a new one'),
  count: z.number().int().min(1).max(claimsMax).default(1).describe('How many; one for each gateway'),
  expiresInSeconds: z.number().int().min(60).max(claimSecondsMax).default(claimSecondsDefault),
  description: z.string().max(200).default(''),
});
const claimMade = z.object({
  id: z.string(),
  claim: z.string().describe('Shown once'),
  expiresAt: time,
  url: z.string().nullable().describe('Where gateways reach the cloud, if it is set (fleet.publicUrl)'),
});
const claimAnswer = z.object({
  ...{ id: z.string(), site: z.string(), gateway: z.string().nullable(), description: z.string() },
  ...{ createdAt: time, expiresAt: time, revokedAt: time.nullable() },
  ...{ usedAt: time.nullable(), usedBy: z.string().nullable() },
});
const gatewayAnswer = z.object({
  ...{ id: z.string(), site: z.string(), createdAt: time },
  certificateUntil: time.describe('It is renewed long before, and by the next contact after'),
  revokedAt: time.nullable(),
  seenAt: time.nullable(),
  address: z.string().nullable().describe('Where it was seen from'),
  report: gatewayReport.nullable().describe('How it does, as it said'),
});

export const fleetRoutes = {
  createClaims: {
    ...{ method: 'post', path: '/tenants/{tenant}/claims', by: 'admin' },
    ...{ body: claimBody, answer: z.array(claimMade), summary: 'Make claims, which let gateways enroll' },
  },
  listClaims: {
    ...{ method: 'get', path: '/tenants/{tenant}/claims', by: 'admin' },
    ...{ body: noBody, answer: z.array(claimAnswer), summary: 'List claims, the newest first' },
  },
  revokeClaim: {
    ...{ method: 'delete', path: '/tenants/{tenant}/claims/{claim}', by: 'admin' },
    ...{ body: noBody, answer: noBody, summary: 'Revoke a claim that is not used' },
  },
  listGateways: {
    ...{ method: 'get', path: '/tenants/{tenant}/gateways', by: 'admin' },
    ...{ body: noBody, answer: z.array(gatewayAnswer), summary: 'List enrolled gateways' },
  },
  showGateway: {
    ...{ method: 'get', path: '/tenants/{tenant}/gateways/{gateway}', by: 'admin' },
    ...{ body: noBody, answer: gatewayAnswer, summary: 'One gateway' },
  },
  revokeGateway: {
    ...{ method: 'delete', path: '/tenants/{tenant}/gateways/{gateway}', by: 'admin' },
    ...{ body: noBody, answer: noBody, summary: 'Refuse a gateway from its next request on; its data stays' },
  },
} as const satisfies Readonly<Record<string, RouteDescription>>;

export function fleetAdminRoutes(
  options: AdminApiOptions & {
    readonly claims: Claims;
    readonly gateways: Gateways;
    readonly clock: Clock;
    /** Empty: not known. */
    readonly publicUrl: string;
  },
): Hono {
  const { claims, gateways, clock, publicUrl } = options;
  const app = new Hono();
  const on = adminApi(app, options);
  const tenant = (c: Context): string => c.req.param('tenant') ?? '';
  const gateway = (c: Context): string => c.req.param('gateway') ?? '';
  on(fleetRoutes.createClaims, async (c, body, actor) => {
    const { site, gateway: id, count, expiresInSeconds, description } = body;
    const spec = {
      ...{ site: siteId(site), gateway: id === undefined ? undefined : gatewayId(id), description },
      ...{ count: id === undefined ? count : 1, expiresMs: clock.nowMs() + expiresInSeconds * 1000 },
    };
    const made = await claims.createClaims(tenantId(tenant(c)), spec, actor);
    const common = { expiresAt: timeText(spec.expiresMs), url: publicUrl === '' ? null : publicUrl };
    return made.map((each) => ({ ...each, ...common }));
  });
  on(fleetRoutes.listClaims, async (c) =>
    (await claims.listClaims(tenant(c))).map((each) => ({
      ...{ id: each.id, site: each.site, gateway: each.gateway ?? null, description: each.description },
      ...{ createdAt: timeText(each.createdMs), expiresAt: timeText(each.expiresMs) },
      ...{ revokedAt: timeText(each.revokedMs), usedAt: timeText(each.usedMs), usedBy: each.usedBy ?? null },
    })),
  );
  on(fleetRoutes.revokeClaim, (c, _, actor) =>
    claims.revokeClaim(tenant(c), c.req.param('claim') ?? '', actor),
  );
  on(fleetRoutes.listGateways, async (c) => (await gateways.listGateways(tenant(c))).map(gatewayText));
  on(fleetRoutes.showGateway, async (c) => gatewayText(await gateways.gatewayOf(tenant(c), gateway(c))));
  on(fleetRoutes.revokeGateway, (c, _, actor) => gateways.revokeGateway(tenant(c), gateway(c), actor));
  return app;
}

const gatewayText = ({ id, site, createdMs, certificateUntilMs, revokedMs, said }: GatewayInfo) => ({
  ...{ id, site, createdAt: timeText(createdMs) },
  ...{ certificateUntil: timeText(certificateUntilMs), revokedAt: timeText(revokedMs) },
  ...{ seenAt: timeText(said?.atMs), address: said?.address ?? null, report: said?.report ?? null },
});
