import type { Context, MiddlewareHandler } from 'hono';
import { hasCode, retryAfterSecondsOf } from '../../lake/base/errors.ts';
import type { Access, TenantAccess, TenantScope } from './access.ts';
import type { Logins } from './logins.ts';

// What stands before HTTP endpoints: who asks, and whether the key is one for this. Refusals don't tell whether a tenant
// or a key exists.

export type GateEnv = { Variables: { access: Access } };

/** Lets requests with a key pass; `accessOf` then tells what it may do. */
export function keyGate(logins: Logins, addressOf: (c: Context) => string): MiddlewareHandler<GateEnv> {
  return async (c, next) => {
    let access: Access | undefined;
    try {
      access = logins.ofHeader(c.req.header('authorization'), addressOf(c));
    } catch (error) {
      if (!hasCode(error, 'limit')) throw error;
      c.header('Retry-After', `${retryAfterSecondsOf(error)}`);
      return c.json({ status: 'error', errorType: 'too_many_requests', error: error.message }, 429);
    }
    if (access === undefined) {
      c.header('WWW-Authenticate', 'Basic realm="firn"');
      const error =
        'give a key: basic authentication with its id and secret, or its secret as a bearer token';
      return c.json({ status: 'error', errorType: 'unauthorized', error }, 401);
    }
    // Loki's clients name a tenant; the key decides, and another name is a mistake that should be noticed.
    const named = c.req.header('x-scope-orgid');
    if (named !== undefined && access.tenant !== undefined && named !== access.tenant)
      return forbidden(c, 'X-Scope-OrgID is not the tenant of this key; leave the header out');
    c.set('access', access);
    return next();
  };
}

/** Lets keys of a tenant with this scope pass. */
export function scopeGate(scope: TenantScope): MiddlewareHandler<GateEnv> {
  return async (c, next) => {
    const { tenant, scopes } = accessOf(c);
    if (tenant === undefined)
      return forbidden(c, 'an operator’s key reaches no data; make a key of the tenant');
    if (!scopes.has(scope)) return forbidden(c, `this key has not the scope "${scope}"; make one that has`);
    return next();
  };
}

/** Lets keys pass that see all rows of their tenant. */
export const wholeTenantGate: MiddlewareHandler<GateEnv> = async (c, next) =>
  accessOf(c).restriction === undefined
    ? next()
    : forbidden(
        c,
        'this key sees some rows of its tenant, and this is about all of them; use a key without a restriction',
      );

/** What the key of a request may do; behind `keyGate`. */
export const accessOf = (c: Context): Access => c.get('access') as Access;

/** The same behind `scopeGate`. */
export const tenantAccessOf = (c: Context): TenantAccess => accessOf(c) as TenantAccess;

const forbidden = (c: Context, error: string): Response =>
  c.json({ status: 'error', errorType: 'forbidden', error }, 403);
