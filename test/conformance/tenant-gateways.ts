import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { loadGatewayConfig } from '../../gateway/config.ts';
import { openGatewaySecurity } from '../../gateway/main/entrance.ts';
import { keepOpen } from '../../gateway/main/keep-open.ts';
import { messageOf } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';

// Others' runners give each section of a script a tenant of its own (X-Scope-OrgID). A gateway has one tenant: so each
// of theirs has a gateway, with an empty folder, behind one address. One is open at a time, as they run their sections.

export interface TenantGateways extends AsyncDisposable {
  readonly base: string;
}

interface OneGateway extends AsyncDisposable {
  readonly port: number;
}

/** `flags`: of each gateway. */
export async function startTenantGateways(flags: readonly string[] = []): Promise<TenantGateways> {
  const closing: Promise<void>[] = [];
  let tenant: string | undefined;
  let current: Promise<OneGateway> | undefined;
  const close = (gateway: Promise<OneGateway> | undefined): void => {
    if (gateway) closing.push(gateway.then((open) => open[Symbol.asyncDispose]()));
  };
  const gatewayOf = (asked: string): Promise<OneGateway> => {
    if (current !== undefined && asked === tenant) return current;
    close(current);
    tenant = asked;
    current = openGateway(flags);
    return current;
  };
  const server = createServer((request, response) => {
    const asked = String(request.headers['x-scope-orgid'] ?? '');
    gatewayOf(asked)
      .then(({ port }) => passOn(port, request, response))
      .catch((error: unknown) => response.writeHead(502).end(messageOf(error)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    base: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.close();
      server.closeAllConnections();
      close(current);
      await Promise.all(closing);
    },
  };
}

async function openGateway(flags: readonly string[]): Promise<OneGateway> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-conformance-'));
  const ports = ['mqtt-port', 'mqtt-web-socket-port', 'http-port', 'pgwire-port'];
  const config = loadGatewayConfig([
    ...['--data-dir', folder, '--identity-labels', 'false', '--otlp-listen', 'false'],
    ...ports.flatMap((flag) => [`--${flag}`, '0']),
    ...flags,
  ]);
  const logger = createLogger('warn');
  const security = await openGatewaySecurity(config, logger);
  const gateway = await keepOpen(config, logger, security, {
    session: undefined,
    status: () => undefined,
  });
  return {
    port: Number(gateway.ready.gatewayHttp),
    [Symbol.asyncDispose]: async () => {
      await gateway[Symbol.asyncDispose]();
      await security[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function passOn(port: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const { host: _, connection: __, 'content-length': ___, ...headers } = request.headers;
  const body = await buffer(request);
  const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, {
    method: request.method ?? 'GET',
    headers: { 'accept-encoding': 'identity', ...(headers as Record<string, string>) },
    ...(request.method === 'POST' && { body: new Uint8Array(body) }),
  });
  const type = answer.headers.get('content-type') ?? 'text/plain';
  response.writeHead(answer.status, { 'content-type': type });
  response.end(Buffer.from(await answer.arrayBuffer()));
}
