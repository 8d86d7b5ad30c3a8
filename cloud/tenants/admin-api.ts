import type { Context, Hono } from 'hono';
import { z } from 'zod';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { Access } from './access.ts';
import type { Actor } from './changes.ts';
import type { RouteDescription } from './open-api.ts';
import { bodyLimitName, readJson } from './read-json.ts';

// What the routes of the admin API have in common: who may ask, how bodies are read, how refusals read.

export const adminPath = '/api/v1/firn/admin';
export const noBody = z.strictObject({});
export const time = z.iso.datetime({ offset: true });

export interface AdminApiOptions {
  readonly accessOf: (c: Context) => Access;
  /** Address that a request came from. */
  readonly addressOf: (c: Context) => string;
  /** Told of a key that may not do what it asks for. */
  readonly onRefused?: ((actor: Actor, tenant: string | undefined, request: string) => void) | undefined;
}

type AddRoute = <Body extends z.ZodType>(
  route: RouteDescription & { readonly body: Body },
  run: (c: Context, body: z.infer<Body>, actor: Actor) => Promise<unknown>,
) => void;

/** Adds routes to an application; what `run` gives is the answer's `data`. */
export function adminApi(app: Hono, { accessOf, addressOf, onRefused }: AdminApiOptions): AddRoute {
  return ({ method, path, by, body: schema }, run) => {
    app.on(method.toUpperCase(), `${adminPath}${path.replaceAll(/\{(\w+)\}/g, ':$1')}`, async (c) => {
      const access = accessOf(c);
      if (!mayAsk(access, by, c.req.param('tenant'))) {
        onRefused?.({ name: access.keyId, address: addressOf(c) }, access.tenant, `${method} ${path}`);
        return refuse(c, 403, notAllowed);
      }
      try {
        const body = await readJson(c, schema);
        const actor = { name: access.keyId, address: addressOf(c) };
        return c.json({ status: 'success', data: (await run(c, body, actor)) ?? {} });
      } catch (error) {
        return refused(c, error);
      }
    });
  };
}

export const timeText = (ms: number | undefined): string | null =>
  ms === undefined ? null : new Date(ms).toISOString();

const notAllowed =
  'this key may not do that; an operator, or a key of the tenant with the scope "admin" and no restriction, may';

/** A key that sees some rows only manages nothing: what it would make could see more. */
function mayAsk(
  { scopes, tenant, restriction }: Access,
  by: RouteDescription['by'],
  of: string | undefined,
): boolean {
  if (scopes.has('operator')) return true;
  return by === 'admin' && scopes.has('admin') && restriction === undefined && tenant === of;
}

const statuses = {
  invalid: 400,
  denied: 403,
  'not-found': 404,
  conflict: 409,
  limit: 409,
  unavailable: 503,
} as const;

/** The answer to what was thrown; what nobody expected is thrown on. */
export function refused(c: Context, error: unknown): Response {
  if (error instanceof z.ZodError) {
    const [issue] = error.issues;
    return refuse(c, 400, `${issue?.path.join('.') || 'body'}: ${issue?.message}`);
  }
  if (!(error instanceof FirnError)) throw error;
  if (error.code === 'limit' && error.subject === bodyLimitName) return refuse(c, 413, error.message);
  const known = Object.entries(statuses).find(([code]) => hasCode(error, code as keyof typeof statuses));
  if (!known) throw error;
  return refuse(c, known[1], error.hint === undefined ? error.message : `${error.message}: ${error.hint}`);
}

const errorTypes = {
  400: 'bad_data',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  413: 'too_large',
  429: 'too_many_requests',
  503: 'unavailable',
} as const;

export const refuse = (c: Context, status: keyof typeof errorTypes, error: string): Response =>
  c.json({ status: 'error', errorType: errorTypes[status], error }, status);
