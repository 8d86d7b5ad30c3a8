import type { HttpBindings } from '@hono/node-server';
import type { Context, Hono, MiddlewareHandler } from 'hono';
import type { DirectHandler } from '../../lake/api/http-server.ts';
import { askedBy, type Gate, type Refusal } from './gate.ts';
import type { Known } from './passwords.ts';
import type { Role } from './roles.ts';

/** They tell no more than that it runs: for whoever watches over it, and for clients of InfluxDB before they write. */
const openPaths = new Set(['/ping', '/health']);

/** Adds routes for who has the role. What stands in no group is for everybody. */
export function mount(app: Hono, gate: Gate, role: Role, group: Hono): void {
  const seen = new Set<string>();
  for (const { method, path } of group.routes) {
    if (seen.has(`${method} ${path}`) || openPaths.has(path)) continue;
    seen.add(`${method} ${path}`);
    app.on(method, path, requires(gate, role));
  }
  app.route('/', group);
}

const requires =
  (gate: Gate, role: Role): MiddlewareHandler =>
  async (c, next) => {
    const { incoming } = c.env as HttpBindings;
    const admission = await gate(askedBy(incoming), role, `${c.req.method} ${c.req.path}`);
    if ('user' in admission) {
      c.set('user', admission.user);
      return next();
    }
    return refused(c, admission.refusal);
  };

/** Who asks, behind `mount`; undefined where nobody is asked. */
export const userOf = (c: Context): Known | undefined => c.get('user') as Known | undefined;

function refused(c: Context, { status, why, message, retryAfterSeconds }: Refusal): Response {
  // Somebody at a browser has typed an address without https://.
  if (why === 'tls' && c.req.method === 'GET' && c.req.header('accept')?.includes('text/html')) {
    const url = new URL(c.req.url);
    url.protocol = 'https:';
    return c.redirect(url.href, 307);
  }
  if (why === 'unauthorized') c.header('WWW-Authenticate', 'Basic realm="firn", charset="UTF-8"');
  if (retryAfterSeconds !== undefined) c.header('Retry-After', `${retryAfterSeconds}`);
  return c.json({ status: 'error', errorType: why, error: message }, status);
}

/** The same for a handler that goes past the application. */
export const guarded =
  (gate: Gate, role: Role, handler: DirectHandler): DirectHandler =>
  async (request, response) => {
    const admission = await gate(askedBy(request), role, `${request.method} ${request.url}`);
    if ('user' in admission) return handler(request, response);
    const { status, why, message, retryAfterSeconds } = admission.refusal;
    response.writeHead(status, {
      'Content-Type': 'text/plain; charset=utf-8',
      ...(why === 'unauthorized' && { 'WWW-Authenticate': 'Basic realm="firn", charset="UTF-8"' }),
      ...(retryAfterSeconds !== undefined && { 'Retry-After': `${retryAfterSeconds}` }),
    });
    response.end(`${message}\n`);
    request.resume();
  };
