import { type Context, Hono } from 'hono';
import { z } from 'zod';
import { tenantId } from '../../lake/model/ids.ts';
import { restrictionSchema, tenantScopes } from './access.ts';
import { type AdminApiOptions, adminApi, adminPath, noBody, refuse, time, timeText } from './admin-api.ts';
import type { KeyInfo } from './key-administration.ts';
import { openApiOf, type RouteDescription } from './open-api.ts';
import type { TenantStore } from './tenant-store.ts';

// The HTTP API that administers tenants and keys. Operators may do everything; a key of a tenant with the scope admin
// manages the keys of its tenant, and is told of others what it is told of tenants that are not there.

/** Lines of the audit log in one answer. */
const answerLinesMax = 1_000;
const overlapSecondsMax = 30 * 86_400;
const overlapSecondsDefault = 86_400;

const tenantBody = z.strictObject({ id: z.string().describe('1 to 63 of a-z, 0-9 and -') });
const keyBody = z.strictObject({
  description: z.string().max(200).default('').describe('What the key is for'),
  scopes: z
    .array(z.enum(tenantScopes))
    .min(1)
    .default(['read'])
    .describe('ingest: send data; read: query; admin: manage the keys of the tenant'),
  restriction: restrictionSchema.optional(),
  expiresAt: time.optional().describe('When it stops to count; RFC 3339'),
});
const rotateBody = z.strictObject({
  overlapSeconds: z
    .number()
    .int()
    .min(0)
    .max(overlapSecondsMax)
    .default(overlapSecondsDefault)
    .describe('How long the old key still counts'),
});
const tenantAnswer = z.object({ id: z.string(), createdAt: time, suspendedAt: time.nullable() });
const keyAnswer = z.object({
  ...{ id: z.string(), description: z.string(), scopes: z.array(z.string()) },
  restriction: restrictionSchema.nullable(),
  createdAt: time,
  ...{ expiresAt: time.nullable(), revokedAt: time.nullable(), lastUsedAt: time.nullable() },
});
const secretAnswer = z.object({ id: z.string(), secret: z.string().describe('Shown once') });
const auditAnswer = z.object({
  ...{ id: z.number(), at: time, actor: z.string(), address: z.string(), action: z.string() },
  ...{ tenant: z.string().nullable(), subject: z.string(), detail: z.unknown() },
  result: z.enum(['done', 'refused']),
});

const auditQuery = z.object({
  tenant: z.string().optional().describe('Lines about this tenant only'),
  before: z.coerce.number().int().positive().optional().describe('Lines before this id'),
  limit: z.coerce.number().int().min(1).max(answerLinesMax).default(100).describe('Lines of the answer'),
});

const routes = {
  listTenants: {
    method: 'get',
    path: '/tenants',
    by: 'operator',
    body: noBody,
    answer: z.array(tenantAnswer),
    summary: 'List tenants',
  },
  createTenant: {
    method: 'post',
    path: '/tenants',
    by: 'operator',
    body: tenantBody,
    answer: noBody,
    summary: 'Create a tenant',
  },
  suspendTenant: {
    method: 'post',
    path: '/tenants/{tenant}/suspend',
    by: 'operator',
    body: noBody,
    answer: noBody,
    summary: 'Refuse all keys of a tenant; its data stays',
  },
  resumeTenant: {
    method: 'post',
    path: '/tenants/{tenant}/resume',
    by: 'operator',
    body: noBody,
    answer: noBody,
    summary: 'Take the keys of a tenant again',
  },
  listKeys: {
    method: 'get',
    path: '/tenants/{tenant}/keys',
    by: 'admin',
    body: noBody,
    answer: z.array(keyAnswer),
    summary: 'List keys',
  },
  createKey: {
    method: 'post',
    path: '/tenants/{tenant}/keys',
    by: 'admin',
    body: keyBody,
    answer: secretAnswer,
    summary: 'Create a key',
  },
  rotateKey: {
    method: 'post',
    path: '/tenants/{tenant}/keys/{key}/rotate',
    by: 'admin',
    body: rotateBody,
    answer: secretAnswer,
    summary: 'Replace a key by another that may do the same',
  },
  revokeKey: {
    method: 'delete',
    path: '/tenants/{tenant}/keys/{key}',
    by: 'admin',
    body: noBody,
    answer: noBody,
    summary: 'Revoke a key, within 5 seconds everywhere',
  },
  audit: {
    method: 'get',
    path: '/audit',
    by: 'operator',
    body: noBody,
    query: auditQuery,
    answer: z.array(auditAnswer),
    summary: 'Who changed what, or was refused to, the newest first',
  },
} as const satisfies Readonly<Record<string, RouteDescription>>;

/** `documented`: routes that others add below the same path. */
export function adminRoutes(
  options: AdminApiOptions & {
    readonly store: TenantStore;
    readonly documented: Readonly<Record<string, RouteDescription>>;
  },
): Hono {
  const { store, documented } = options;
  const app = new Hono();
  const on = adminApi(app, options);
  const tenant = (c: Context): string => c.req.param('tenant') ?? '';
  const key = (c: Context): string => c.req.param('key') ?? '';

  on(routes.listTenants, async () =>
    (await store.listTenants()).map(({ id, createdMs, suspendedMs }) => ({
      ...{ id, createdAt: timeText(createdMs), suspendedAt: timeText(suspendedMs) },
    })),
  );
  on(routes.createTenant, async (_, { id }, actor) => store.createTenant(tenantId(id), actor));
  on(routes.suspendTenant, async (c, _, actor) => store.suspendTenant(tenant(c), true, actor));
  on(routes.resumeTenant, async (c, _, actor) => store.suspendTenant(tenant(c), false, actor));
  on(routes.listKeys, async (c) => (await store.listKeys(tenant(c))).map(keyText));
  on(routes.createKey, async (c, { description, scopes, restriction, expiresAt }, actor) => {
    const expiresMs = expiresAt === undefined ? undefined : Date.parse(expiresAt);
    return store.createKey(tenantId(tenant(c)), { description, scopes, restriction, expiresMs }, actor);
  });
  on(routes.rotateKey, async (c, { overlapSeconds }, actor) =>
    store.rotateKey(tenant(c), key(c), overlapSeconds * 1000, actor),
  );
  on(routes.revokeKey, async (c, _, actor) => store.revokeKey(tenant(c), key(c), actor));
  on(routes.audit, async (c) => {
    const asked = auditQuery.parse(c.req.query());
    const lines = await store.auditLog({ tenant: asked.tenant, beforeId: asked.before, limit: asked.limit });
    return lines.map(({ atMs, tenant: of = null, ...line }) => ({ ...line, at: timeText(atMs), tenant: of }));
  });
  app.get(`${adminPath}/openapi.json`, (c) => c.json(openApiOf(adminPath, { ...routes, ...documented })));
  app.all(`${adminPath}/*`, (c) =>
    refuse(c, 404, `there is no such endpoint; see ${adminPath}/openapi.json`),
  );
  return app;
}

const keyText = ({ id, description, scopes, restriction, ...times }: KeyInfo) => ({
  ...{ id, description, scopes, restriction: restriction ?? null, createdAt: timeText(times.createdMs) },
  expiresAt: timeText(times.expiresMs),
  ...{ revokedAt: timeText(times.revokedMs), lastUsedAt: timeText(times.lastUsedMs) },
});
