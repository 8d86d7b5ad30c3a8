import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { limitBody } from '../../lake/api/body-limit.ts';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { parseDocument } from '../../lake/model/document.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { tableNames } from '../../lake/model/table-name.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { parseRetention, readRetention, writeRetention } from './retention.ts';
import { type DeleteRequest, listDeletes, requestDelete } from './row-deletes.ts';

export interface MaintainRoutesOptions {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly bodyBytesMax: number;
  /** Whose data a request is about; authentication has been done before. */
  readonly tenantOf: (c: Context) => TenantId;
}

const deleteJson = z.strictObject({
  table: z.enum(tableNames),
  selector: z.string().default(''),
  from: z.iso.datetime({ offset: true }).optional(),
  to: z.iso.datetime({ offset: true }).optional(),
});

/**
 * `GET` and `PUT /api/v1/firn/retention`: what is kept for how long; `GET` and `POST /api/v1/firn/deletes`: rows that
 * are to go. Both are carried out by the maintainers.
 */
export function maintainRoutes({ store, clock, bodyBytesMax, tenantOf }: MaintainRoutesOptions): Hono {
  const app = new Hono();
  app.onError((error, c) => {
    if (!(error instanceof FirnError) || error.code !== 'invalid') throw error;
    const text = error.hint === undefined ? error.message : `${error.message} (${error.hint})`;
    return c.json({ status: 'error', errorType: 'bad_data', error: text }, 400);
  });
  for (const path of ['retention', 'deletes']) app.use(`/api/v1/firn/${path}`, limitBody(bodyBytesMax));
  app.get('/api/v1/firn/retention', async (c) =>
    c.json({ status: 'success', data: { rules: await readRetention(store, tenantOf(c)) } }),
  );
  app.put('/api/v1/firn/retention', async (c) => {
    const rules = parseRetention(await c.req.text(), 'request');
    await writeRetention(store, tenantOf(c), rules);
    return c.json({ status: 'success', data: { rules } });
  });
  app.get('/api/v1/firn/deletes', async (c) => {
    const requests = await listDeletes(store, tenantOf(c));
    return c.json({ status: 'success', data: { deletes: requests.map(shown) } });
  });
  app.post('/api/v1/firn/deletes', async (c) => {
    const { from, to, ...asked } = parseDocument(deleteJson, await c.req.text(), 'delete request', 'body');
    const times = { fromUs: microseconds(from), toUs: microseconds(to) };
    const request = await requestDelete(store, tenantOf(c), { ...asked, ...times }, clock.nowMs());
    return c.json({ status: 'success', data: shown(request) }, 202);
  });
  return app;
}

const microseconds = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Date.parse(text) * 1000;

const timeText = (ms: number | undefined): string | undefined =>
  ms === undefined ? undefined : new Date(ms).toISOString();

function shown({ id, table, selector, fromUs, toUs, requestedMs, doneMs, rowsDeleted }: DeleteRequest) {
  return {
    ...{ id, table, selector, from: timeText(fromUs && fromUs / 1000), to: timeText(toUs && toUs / 1000) },
    ...{ state: doneMs === undefined ? 'pending' : 'done', rowsDeleted },
    ...{ requested: timeText(requestedMs), done: timeText(doneMs) },
  };
}
