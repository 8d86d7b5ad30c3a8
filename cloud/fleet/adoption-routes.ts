import type { Context } from 'hono';
import { z } from 'zod';
import type { Clock } from '../../lake/base/clock.ts';
import { newGatewayId, siteId, tenantId } from '../../lake/model/ids.ts';
import { parseDeviceCode, printDeviceCode } from '../../provisioning/device-code.ts';
import { type adminApi, noBody, time, timeText } from '../tenants/admin-api.ts';
import type { RouteDescription } from '../tenants/open-api.ts';
import type { AdoptionInfo, Adoptions } from './adoptions.ts';
import { claimSeconds } from './claims.ts';

// The part of the admin API that is about devices that show a code.

const adoptBody = z.strictObject({
  code: z.string().max(200).describe('As the device shows it'),
  site: z.string().describe('Site where the device stands'),
  gateway: z.string().optional().describe('Id that it gets; absent: the one that it asks for'),
  replace: z.boolean().default(false).describe('Whether it may take the place of a gateway that is there'),
  expiresInSeconds: claimSeconds.describe('How long it is let in, if it has not come yet'),
  description: z.string().max(200).default(''),
});
const adoption = z.object({
  code: z.string(),
  claim: z.string().nullable().describe('Id of the claim that adopts it; null: it is not adopted'),
  ...{ site: z.string().nullable(), gateway: z.string().nullable(), expiresAt: time.nullable() },
  usedBy: z.string().nullable().describe('The gateway that the device has become'),
  seenAt: time.nullable().describe('When it asked last; null: not lately, or it asked another cloud process'),
  waitingSince: time.nullable(),
  address: z.string().nullable().describe('Where it asked from'),
  asksFor: z.string().nullable().describe('Id that it would like to have'),
});

export const adoptionRoutes = {
  adopt: {
    ...{ method: 'post', path: '/tenants/{tenant}/adoptions', by: 'admin' },
    ...{ body: adoptBody, answer: adoption, summary: 'Adopt a device by the code that it shows' },
  },
  listAdoptions: {
    ...{ method: 'get', path: '/tenants/{tenant}/adoptions', by: 'admin' },
    ...{ body: noBody, answer: z.array(adoption), summary: 'Devices that are adopted and have not come yet' },
  },
  showAdoption: {
    ...{ method: 'get', path: '/tenants/{tenant}/adoptions/{code}', by: 'admin' },
    ...{ body: noBody, answer: adoption, summary: 'The device that shows a code' },
  },
  siteFile: {
    ...{ method: 'get', path: '/tenants/{tenant}/site-file', by: 'admin' },
    body: noBody,
    answer: z.object({ tenant: z.string(), url: z.string().nullable(), pin: z.string() }),
    summary: 'What an image says to all devices of a fleet: the tenant, the cloud, and what its authority is',
  },
} as const satisfies Readonly<Record<string, RouteDescription>>;

export function addAdoptionRoutes(
  on: ReturnType<typeof adminApi>,
  adoptions: Adoptions,
  cloud: { readonly clock: Clock; readonly url: string | null; readonly pin: string },
): void {
  const { clock, url, pin } = cloud;
  const tenant = (c: Context): string => c.req.param('tenant') ?? '';
  on(adoptionRoutes.adopt, async (c, { code, site, gateway, expiresInSeconds, ...body }, actor) => {
    const spec = {
      ...{ ...body, code: parseDeviceCode(code), site: siteId(site) },
      gateway: gateway === undefined ? undefined : newGatewayId(gateway),
      expiresMs: clock.nowMs() + expiresInSeconds * 1000,
    };
    return adoptionText(await adoptions.adopt(tenantId(tenant(c)), spec, actor));
  });
  on(adoptionRoutes.listAdoptions, async (c) => (await adoptions.listAdoptions(tenant(c))).map(adoptionText));
  on(adoptionRoutes.showAdoption, async (c) =>
    adoptionText(await adoptions.adoptionOf(tenant(c), parseDeviceCode(c.req.param('code') ?? ''))),
  );
  on(adoptionRoutes.siteFile, async (c) => ({ tenant: tenant(c), url, pin }));
}

const adoptionText = ({ code, claim, device }: AdoptionInfo): z.infer<typeof adoption> => ({
  ...{ code: printDeviceCode(code), claim: claim?.id ?? null },
  ...{ site: claim?.site ?? null, gateway: claim?.gateway ?? null },
  ...{ expiresAt: timeText(claim?.expiresMs), usedBy: claim?.usedBy ?? null },
  ...{ seenAt: timeText(device?.lastMs), waitingSince: timeText(device?.sinceMs) },
  ...{ address: device?.address ?? null, asksFor: device?.gateway ?? null },
});
