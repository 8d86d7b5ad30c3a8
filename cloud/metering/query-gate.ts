import type { HttpBindings } from '@hono/node-server';
import type { Context, MiddlewareHandler } from 'hono';
import { hasCode, retryAfterSecondsOf } from '../../lake/base/errors.ts';
import { tenantAccessOf } from '../tenants/gate.ts';
import type { TenantMeter } from './meter.ts';

/** Lets a query pass while its tenant may ask more; it has ended when its answer is sent, or nobody waits for it. */
export function queryGate(meterOf: (tenant: string) => TenantMeter): MiddlewareHandler {
  return async (c, next) => {
    let end: () => void;
    try {
      end = meterOf(tenantAccessOf(c).tenant).startQuery();
    } catch (error) {
      if (!hasCode(error, 'limit')) throw error;
      c.header('Retry-After', `${retryAfterSecondsOf(error)}`);
      return refusal(c, error.message);
    }
    const { outgoing } = (c.env ?? {}) as Partial<HttpBindings>;
    if (outgoing) outgoing.once('close', end);
    await next();
    if (!outgoing) end();
  };
}

/** As each API says it. */
function refusal(c: Context, message: string): Response {
  if (c.req.path.startsWith('/loki/')) return c.text(message, 429);
  if (c.req.path === '/api/v1/firn/sql')
    return c.json({ error: { code: configurationLimitExceeded, message } }, 429);
  return c.json({ status: 'error', errorType: 'too_many_requests', error: message }, 429);
}

/** The SQLSTATE. */
export const configurationLimitExceeded = '53400';
