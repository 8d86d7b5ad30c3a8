import { type Context, Hono } from 'hono';
import type { TenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { listQuarantine } from './quarantine.ts';

const limitDefault = 100;
/** Records in one answer. */
const limitMax = 1_000;

/** `GET /api/v1/firn/quarantine?gateway=&limit=`: which shipments were refused and why, the newest first. */
export function quarantineRoutes(options: {
  readonly store: ObjectStore;
  /** Whose data a request is about; authentication has been done before. */
  readonly tenantOf: (c: Context) => TenantId;
}): Hono {
  const app = new Hono();
  app.get('/api/v1/firn/quarantine', async (c) => {
    const limit = Number(c.req.query('limit') || limitDefault);
    if (!Number.isInteger(limit) || limit < 1 || limit > limitMax)
      return refuse(c, 'limit', `it is a number from 1 to ${limitMax}`);
    const gateway = c.req.query('gateway') || undefined;
    if (gateway?.includes('/')) return refuse(c, 'gateway', 'it is no gateway id');
    const { records, more } = await listQuarantine(options.store, options.tenantOf(c), { gateway, limit });
    const refused = records.map(({ gateway, epoch, number, manifest, reason, refusedUs }) => {
      const time = new Date(refusedUs / 1000).toISOString();
      return { gateway, epoch, number, manifest, reason, time };
    });
    return c.json({ status: 'success', data: { refused, more } });
  });
  return app;
}

const refuse = (c: Context, name: string, why: string): Response =>
  c.json({ status: 'error', errorType: 'bad_data', error: `invalid parameter "${name}": ${why}` }, 400);
