import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Clock } from '../../lake/base/clock.ts';
import { newGatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { printLetters } from '../../provisioning/base32.ts';
import { commandNames, firmware, gatewayReport } from '../../provisioning/contract.ts';
import { type AdminApiOptions, adminApi, noBody, time, timeText } from '../tenants/admin-api.ts';
import type { RouteDescription } from '../tenants/open-api.ts';
import { addAdoptionRoutes, adoptionRoutes } from './adoption-routes.ts';
import type { Adoptions } from './adoptions.ts';
import { type Claims, claimSeconds } from './claims.ts';
import type { Commands } from './commands.ts';
import type { GatewayInfo, Gateways } from './gateways.ts';
import type { Rollouts } from './rollout-administration.ts';
import { planSchema, selectorSchema } from './rollouts.ts';

// The part of the admin API that is about claims and gateways.

/** Claims made at once: a batch to print. */
const claimsMax = 500;

const claimBody = z.strictObject({
  site: z.string().describe('Site where the gateway will stand'),
  gateway: z
    .string()
    .optional()
    .describe('Id of the gateway that it is for, which it replaces if it is there; else a new one'),
  count: z.number().int().min(1).max(claimsMax).default(1).describe('How many; one for each gateway'),
  expiresInSeconds: claimSeconds,
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
  ...{ id: z.string(), site: z.string(), group: z.string(), createdAt: time },
  certificateUntil: time.describe('It is renewed long before, and by the next contact after'),
  revokedAt: time.nullable(),
  seenAt: time.nullable(),
  address: z.string().nullable().describe('Where it was seen from'),
  report: gatewayReport.nullable().describe('How it does, as it said'),
});
const groupBody = z.strictObject({
  group: z
    .string()
    .regex(/^[a-z0-9-]{0,63}$/)
    .describe('Empty: none'),
});
const commandBody = z.strictObject({
  command: z
    .enum(commandNames)
    .describe(
      'restart: close and open again; logs: the last lines; rotate-key: another device key; diagnostic: its state',
    ),
  expiresInSeconds: z
    .number()
    .int()
    .min(30)
    .max(30 * 86_400)
    .default(86_400)
    .describe('Not carried out later'),
});
const commandAnswer = z.object({
  ...{ id: z.string(), command: z.string(), createdAt: time, createdBy: z.string(), expiresAt: time },
  ...{ doneAt: time.nullable(), ok: z.boolean().nullable(), output: z.string() },
});
const rolloutBody = z
  .strictObject({
    settings: z
      .record(z.string(), z.unknown())
      .optional()
      .describe('Fields of the config file of a gateway; they go before what is configured on site'),
    firmware: firmware.optional().describe('An update for flashed gateways'),
    description: z.string().max(200).default(''),
    selector: selectorSchema.prefault({}),
    canaries: planSchema.shape.canaries.default([]),
    stages: planSchema.shape.stages.default([10, 50, 100]),
    bakeSeconds: planSchema.shape.bakeSeconds.default(600),
    failurePercentMax: planSchema.shape.failurePercentMax.default(10),
  })
  .refine(
    ({ settings, firmware }) => (settings === undefined) !== (firmware === undefined),
    'a rollout brings settings or firmware: give one of them',
  );
const rolloutAnswer = z.object({
  ...{ number: z.number(), description: z.string(), state: z.enum(['running', 'halted', 'done']) },
  stage: z.number().describe('-1: the canaries alone'),
  ...{ stageSince: time, createdAt: time, detail: z.string().describe('Why it is halted') },
  ...{ plan: planSchema, settings: z.record(z.string(), z.unknown()), firmware: firmware.optional() },
});

export const fleetRoutes = {
  ...adoptionRoutes,
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
  groupGateway: {
    ...{ method: 'post', path: '/tenants/{tenant}/gateways/{gateway}/group', by: 'admin' },
    ...{ body: groupBody, answer: noBody, summary: 'Put a gateway into a group, for rollouts' },
  },
  createCommand: {
    ...{ method: 'post', path: '/tenants/{tenant}/gateways/{gateway}/commands', by: 'admin' },
    ...{ body: commandBody, answer: z.object({ id: z.string() }), summary: 'Have a gateway do something' },
  },
  listCommands: {
    ...{ method: 'get', path: '/tenants/{tenant}/gateways/{gateway}/commands', by: 'admin' },
    ...{
      body: noBody,
      answer: z.array(commandAnswer),
      summary: 'Commands and what came of them, the newest first',
    },
  },
  createRollout: {
    ...{ method: 'post', path: '/tenants/{tenant}/rollouts', by: 'admin' },
    ...{
      body: rolloutBody,
      answer: z.object({ number: z.number() }),
      summary: 'Bring settings or firmware to gateways',
    },
  },
  listRollouts: {
    ...{ method: 'get', path: '/tenants/{tenant}/rollouts', by: 'admin' },
    ...{ body: noBody, answer: z.array(rolloutAnswer), summary: 'Rollouts, the newest first' },
  },
  haltRollout: {
    ...{ method: 'post', path: '/tenants/{tenant}/rollouts/{rollout}/halt', by: 'admin' },
    ...{
      body: noBody,
      answer: noBody,
      summary: 'Take the settings of a rollout back from every gateway, or bring its firmware to no more',
    },
  },
  resumeRollout: {
    ...{ method: 'post', path: '/tenants/{tenant}/rollouts/{rollout}/resume', by: 'admin' },
    ...{ body: noBody, answer: noBody, summary: 'Go on with a rollout that is halted' },
  },
  revokeGateway: {
    ...{ method: 'delete', path: '/tenants/{tenant}/gateways/{gateway}', by: 'admin' },
    ...{ body: noBody, answer: noBody, summary: 'Refuse a gateway from its next request on; its data stays' },
  },
} as const satisfies Readonly<Record<string, RouteDescription>>;

export function fleetAdminRoutes(
  options: AdminApiOptions & {
    readonly administration: Claims & Adoptions & Gateways & Rollouts & Commands;
    readonly clock: Clock;
    /** Empty: not known. */
    readonly publicUrl: string;
    /** Of the device authority. */
    readonly pin: string;
  },
): Hono {
  const { administration: fleet, clock, pin } = options;
  const url = options.publicUrl === '' ? null : options.publicUrl;
  const app = new Hono();
  const on = adminApi(app, options);
  const tenant = (c: Context): string => c.req.param('tenant') ?? '';
  const gateway = (c: Context): string => c.req.param('gateway') ?? '';
  on(fleetRoutes.createClaims, async (c, body, actor) => {
    const { site, gateway: id, count, expiresInSeconds, description } = body;
    const spec = {
      ...{ site: siteId(site), gateway: id === undefined ? undefined : newGatewayId(id), description },
      ...{ count: id === undefined ? count : 1, expiresMs: clock.nowMs() + expiresInSeconds * 1000 },
    };
    const made = await fleet.createClaims(tenantId(tenant(c)), spec, actor);
    const common = { expiresAt: timeText(spec.expiresMs), url };
    return made.map((each) => ({ ...each, ...common }));
  });
  on(fleetRoutes.listClaims, async (c) =>
    (await fleet.listClaims(tenant(c))).map((each) => ({
      ...{ id: each.id, site: each.site, gateway: each.gateway ?? null, description: each.description },
      ...{ createdAt: timeText(each.createdMs), expiresAt: timeText(each.expiresMs) },
      ...{ revokedAt: timeText(each.revokedMs), usedAt: timeText(each.usedMs), usedBy: each.usedBy ?? null },
    })),
  );
  on(fleetRoutes.revokeClaim, (c, _, actor) =>
    fleet.revokeClaim(tenant(c), c.req.param('claim') ?? '', actor),
  );
  on(fleetRoutes.listGateways, async (c) => (await fleet.listGateways(tenant(c))).map(gatewayText));
  on(fleetRoutes.showGateway, async (c) => gatewayText(await fleet.gatewayOf(tenant(c), gateway(c))));
  on(fleetRoutes.revokeGateway, (c, _, actor) => fleet.revokeGateway(tenant(c), gateway(c), actor));
  addAdoptionRoutes(on, fleet, { clock, url, pin: printLetters(pin) });
  addOrderRoutes(on, fleet, clock);
  return app;
}

/** Commands and rollouts. */
function addOrderRoutes(
  on: ReturnType<typeof adminApi>,
  fleet: Gateways & Rollouts & Commands,
  clock: Clock,
): void {
  const names = (c: Context) => [c.req.param('tenant') ?? '', c.req.param('gateway') ?? ''] as const;
  const number = (c: Context): number => Number(c.req.param('rollout'));
  on(fleetRoutes.groupGateway, (c, { group }, actor) => fleet.groupGateway(...names(c), group, actor));
  on(fleetRoutes.createCommand, async (c, { command: name, expiresInSeconds }, actor) => {
    const expiresMs = clock.nowMs() + expiresInSeconds * 1000;
    return { id: await fleet.createCommand(...names(c), { name, expiresMs }, actor) };
  });
  on(fleetRoutes.listCommands, async (c) =>
    (await fleet.listCommands(...names(c))).map(({ createdMs, expiresMs, doneMs, ok = null, ...each }) => ({
      ...{ ...each, ok, createdAt: timeText(createdMs), expiresAt: timeText(expiresMs) },
      doneAt: timeText(doneMs),
    })),
  );
  on(fleetRoutes.createRollout, async (c, { settings = {}, firmware, description, ...plan }, actor) => ({
    number: await fleet.createRollout(
      tenantId(names(c)[0]),
      { settings, firmware, plan, description },
      actor,
    ),
  }));
  on(fleetRoutes.listRollouts, async (c) =>
    (await fleet.listRollouts(names(c)[0])).map(({ tenant: _, createdMs, stageSinceMs, ...each }) => ({
      ...{ ...each, createdAt: timeText(createdMs), stageSince: timeText(stageSinceMs) },
    })),
  );
  on(fleetRoutes.haltRollout, (c, _, actor) => fleet.haltRollout(names(c)[0], number(c), true, actor));
  on(fleetRoutes.resumeRollout, (c, _, actor) => fleet.haltRollout(names(c)[0], number(c), false, actor));
}

const gatewayText = ({ id, site, group, createdMs, certificateUntilMs, revokedMs, said }: GatewayInfo) => ({
  ...{ id, site, group, createdAt: timeText(createdMs) },
  ...{ certificateUntil: timeText(certificateUntilMs), revokedAt: timeText(revokedMs) },
  ...{ seenAt: timeText(said?.atMs), address: said?.address ?? null, report: said?.report ?? null },
});
