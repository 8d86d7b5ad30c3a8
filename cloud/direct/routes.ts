import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import { FirnError, retryAfterSecondsOf } from '../../lake/base/errors.ts';
import type { VirtualGateway } from '../../lake/virtual-gateway.ts';
import { type GateEnv, scopeGate, tenantAccessOf } from '../tenants/gate.ts';
import { type Signals, siteOf } from './sender.ts';
import type { VirtualGateways } from './virtual-gateways.ts';

// What sources without a gateway send: the endpoints of a gateway, for keys with the scope ingest. The key says for which
// tenant, and with its restriction for which site and what.

/** What each endpoint may make rows of. */
const paths: readonly (readonly [methods: readonly ('GET' | 'POST')[], path: string, makes: Signals])[] = [
  [['POST'], '/loki/api/v1/push', ['logs']],
  [['POST'], '/v1/logs', ['logs', 'events']],
  [['POST'], '/otlp/v1/logs', ['logs', 'events']],
  [['POST'], '/v1/traces', ['spans']],
  [['POST'], '/v1/metrics', ['metrics']],
  [['POST'], '/api/v1/otlp/v1/metrics', ['metrics']],
  [['POST'], '/api/v2/write', ['metrics', 'logs']],
  [['POST'], '/write', ['metrics', 'logs']],
  // What InfluxDB's clients ask before they write.
  [['GET', 'POST'], '/query', []],
  [['GET'], '/ping', []],
];

export function directRoutes(options: {
  readonly gateways: VirtualGateways;
  /** For what says nothing of its site. */
  readonly site: string;
}): Hono<GateEnv> {
  const { gateways, site } = options;
  const app = new Hono<GateEnv>();
  type Take = (c: Context, gateway: VirtualGateway) => Promise<Response>;
  const on = (methods: readonly string[], path: string, makes: Signals, take: Take): void => {
    app.on([...methods], path, scopeGate('ingest'), async (c) => {
      const { tenant, restriction } = tenantAccessOf(c);
      const from = siteOf(c.req.header('x-firn-site'), restriction, makes, site);
      if (from instanceof FirnError) return refused(c, from);
      try {
        return await gateways.use(tenant, from, (gateway) => take(c, gateway));
      } catch (error) {
        if (error instanceof FirnError) return refused(c, error);
        throw error;
      }
    });
  };
  on(['POST'], '/api/v1/write', ['metrics'], async (c, { write }) => {
    const { incoming, outgoing } = c.env as HttpBindings;
    await write(incoming, outgoing as Parameters<VirtualGateway['write']>[1]);
    return RESPONSE_ALREADY_SENT;
  });
  for (const [methods, path, makes] of paths)
    on(methods, path, makes, async (c, gateway) => gateway.app.fetch(c.req.raw, c.env as object));
  return app;
}

/** Before it is known how the protocol says it: plain text, which senders log. */
function refused(c: Context, error: FirnError): Response {
  const { code, message } = error;
  if (code === 'denied') return c.text(`${message}\n`, 403);
  if (code === 'invalid') return c.text(`${message}\n`, 400);
  c.header('Retry-After', `${retryAfterSecondsOf(error)}`);
  return c.text(`${message}\n`, 503);
}
