import { type Context, Hono } from 'hono';
import { z } from 'zod';
import type { Clock } from '../../lake/base/clock.ts';
import { type AdminApiOptions, adminApi, noBody, time, timeText } from '../tenants/admin-api.ts';
import type { RouteDescription } from '../tenants/open-api.ts';
import { limitsAnswer, limitsBody } from './limits.ts';
import type { Metering } from './open-metering.ts';
import { hourMs, type UsageHour } from './usage.ts';
import { noUse, type Use, usedTogether } from './use.ts';

// The part of the admin API that is about what tenants may use and have used. A tenant sees its own.

const dayMs = 24 * hourMs;
const bucketMs = { hour: hourMs, day: dayMs } as const;
/** Buckets of one answer. */
const bucketsMax = 1_000;

const usageQuery = z.object({
  from: time
    .optional()
    .describe('The first time of interest; without it 30 days, or 48 hours, before the last'),
  to: time.optional().describe('The time after the last of interest; without it now'),
  by: z.enum(['hour', 'day']).default('day').describe('Length of a bucket, in UTC'),
});

const number = (about: string) => z.number().int().describe(about);
const usageAnswer = z.object({
  limits: limitsAnswer,
  buckets: z
    .array(
      z.object({
        from: time,
        ingestedRows: number('Rows that came into the tables, by whatever way'),
        ingestedBytes: number('Bytes of the files that they came in'),
        receivedRows: number('Rows that were sent to the cloud itself'),
        receivedBytes: number('Bytes of those requests'),
        queries: number('Queries'),
        scannedBytes: number('Bytes of files that they looked into'),
        refusedRequests: number('Requests beyond a limit of the tenant'),
        storedBytes: number('Bytes of the files in the tables, at most'),
        activeSeries: number('Series and log streams that were sent to the cloud itself, at most'),
      }),
    )
    .describe('Those in which something was used'),
});

export const meteringRoutes = {
  showLimits: {
    ...{ method: 'get', path: '/tenants/{tenant}/limits', by: 'admin' },
    ...{ body: noBody, answer: limitsAnswer, summary: 'What a tenant may use' },
  },
  setLimits: {
    ...{ method: 'post', path: '/tenants/{tenant}/limits', by: 'operator' },
    ...{ body: limitsBody, answer: limitsAnswer, summary: 'Set what a tenant may use' },
  },
  usage: {
    ...{ method: 'get', path: '/tenants/{tenant}/usage', by: 'admin', body: noBody },
    ...{ query: usageQuery, answer: usageAnswer, summary: 'What a tenant has used, by hour or day' },
  },
} as const satisfies Readonly<Record<string, RouteDescription>>;

export function meteringAdminRoutes(
  options: AdminApiOptions & { readonly metering: Metering; readonly clock: Clock },
): Hono {
  const { metering, clock } = options;
  const app = new Hono();
  const on = adminApi(app, options);
  const tenant = (c: Context): string => c.req.param('tenant') ?? '';
  on(meteringRoutes.showLimits, async (c) => metering.meterOf(tenant(c)).limits);
  on(meteringRoutes.setLimits, async (c, body, actor) => {
    await metering.setLimits(tenant(c), body, actor);
    return metering.meterOf(tenant(c)).limits;
  });
  on(meteringRoutes.usage, async (c) => {
    const { by, from, to } = usageQuery.parse(c.req.query());
    const toMs = to === undefined ? clock.nowMs() : Date.parse(to);
    const fromMs = from === undefined ? toMs - (by === 'day' ? 30 * dayMs : 2 * dayMs) : Date.parse(from);
    const firstMs = Math.floor(fromMs / bucketMs[by]) * bucketMs[by];
    const hours = await metering.readUsage(tenant(c), firstMs, toMs);
    const buckets = bucketsOf(hours, bucketMs[by]).slice(-bucketsMax).map(bucketText);
    return { limits: metering.meterOf(tenant(c)).limits, buckets };
  });
  return app;
}

function bucketsOf(hours: readonly UsageHour[], lengthMs: number): readonly UsageHour[] {
  const buckets = new Map<number, Use>();
  for (const hour of hours) {
    const from = Math.floor(hour.hourMs / lengthMs) * lengthMs;
    buckets.set(from, usedTogether(buckets.get(from) ?? noUse, hour));
  }
  return [...buckets].map(([from, use]) => ({ hourMs: from, ...use }));
}

const bucketText = ({ hourMs: from, ...use }: UsageHour) => ({
  from: timeText(from),
  ...{ ingestedRows: use.ingested_rows, ingestedBytes: use.ingested_bytes },
  ...{ receivedRows: use.received_rows, receivedBytes: use.received_bytes },
  ...{ queries: use.queries, scannedBytes: use.scanned_bytes, refusedRequests: use.refused_requests },
  ...{ storedBytes: use.stored_bytes, activeSeries: use.active_series },
});
