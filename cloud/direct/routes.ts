import type { HttpBindings } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { type Context, Hono } from 'hono';
import { FirnError, retryAfterSecondsOf } from '../../lake/base/errors.ts';
import { type SiteId, siteId } from '../../lake/model/ids.ts';
import type { VirtualGateway } from '../../lake/virtual-gateway.ts';
import type { Restriction } from '../tenants/access.ts';
import { type GateEnv, scopeGate, tenantAccessOf } from '../tenants/gate.ts';
import type { VirtualGateways } from './virtual-gateways.ts';

// What sources without a gateway send: the endpoints of a gateway, for keys with the scope ingest. The key says for which
// tenant, and with its restriction for which site and what.

type Signals = readonly NonNullable<Restriction['signals']>[number][];

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

/** The site that rows are of, or why the key may not send them. */
function siteOf(
  named: string | undefined,
  restriction: Restriction | undefined,
  makes: Signals,
  otherwise: string,
): SiteId | FirnError {
  const { sites, signals, labels } = restriction ?? {};
  if (labels)
    return denied(
      'it sees rows with some labels only, and nothing sees to it that it sends those',
      'make one without labels',
    );
  const not = signals && makes.filter((signal) => !signals.includes(signal));
  if (not && not.length > 0)
    return denied(
      `it is not for ${not.join(' and ')}, which this endpoint makes rows of`,
      'make one for them',
    );
  if (sites && named === undefined && sites.length > 1)
    return wrong(`the key is for the sites ${sites.join(', ')}`, 'name one in the header X-Firn-Site');
  const site = named ?? sites?.[0] ?? otherwise;
  if (sites && !sites.includes(site))
    return denied('it is not for this site', `send for ${sites.join(' or ')}`);
  try {
    return siteId(site);
  } catch (error) {
    return wrong(`X-Firn-Site: ${(error as FirnError).message}`, (error as FirnError).hint ?? '');
  }
}

const denied = (why: string, hint: string): FirnError =>
  new FirnError({
    ...{ code: 'denied', operation: 'receive', subject: 'key', hint },
    message: `this key may not send this: ${why}; ${hint}`,
  });

const wrong = (message: string, hint: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'receive', subject: 'site', hint, message: `${message}; ${hint}` },
  });

/** Before it is known how the protocol says it: plain text, which senders log. */
function refused(c: Context, error: FirnError): Response {
  const { code, message } = error;
  if (code === 'denied') return c.text(`${message}\n`, 403);
  if (code === 'invalid') return c.text(`${message}\n`, 400);
  c.header('Retry-After', `${retryAfterSecondsOf(error)}`);
  return c.text(`${message}\n`, 503);
}
