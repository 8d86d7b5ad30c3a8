import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { getRequestListener } from '@hono/node-server';
import { alsoWithTls, type ListenerTls } from '../base/server-tls.ts';

export interface HttpServer extends AsyncDisposable {
  readonly port: number;
}

/**
 * Answers a request without the Request and Response of the web, which cost more than taking in a body of columns. What
 * it throws is answered with 500.
 */
export type DirectHandler = (request: IncomingMessage, response: ServerResponse) => Promise<void>;

/** By method and path, as in `POST /api/v1/write`. */
export type DirectHandlers = Readonly<Record<string, DirectHandler>>;

/** Takes over the connection of a request that wants another protocol. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void;

/** How long running requests may take to end when the server closes. */
const closeMsMax = 5000;

export interface HttpLimits {
  /** A request's line and headers may take so long to come, and all of it so long; then its connection is closed (408). */
  readonly headersMsMax: number;
  readonly requestMsMax: number;
  /** How often that is looked at. */
  readonly lookIntervalMs: number;
  /** Bytes of a request's headers; more is 431. */
  readonly headersBytesMax: number;
  /** Connections at once; one more is closed. */
  readonly connectionsMax: number;
}

export const httpLimits: HttpLimits = {
  headersMsMax: 20_000,
  requestMsMax: 300_000,
  lookIntervalMs: 5_000,
  headersBytesMax: 16 * 1024,
  connectionsMax: 16_384,
};

/** Serves an application; resolves when it listens. Closing waits for running requests, but not for ever. */
export async function startHttpServer(
  app: { fetch(request: Request): Response | Promise<Response> },
  address: ListenerTls & { readonly host: string; readonly port: number },
  direct: DirectHandlers = {},
  /** By path. */
  upgrades: Readonly<Record<string, UpgradeHandler>> = {},
  limits: HttpLimits = httpLimits,
): Promise<HttpServer> {
  const handlers = new Map(Object.entries(direct));
  const serveApp = getRequestListener(app.fetch);
  const timeouts = {
    ...{ headersTimeout: limits.headersMsMax, requestTimeout: limits.requestMsMax },
    connectionsCheckingInterval: limits.lookIntervalMs,
  };
  const server = createServer({ ...timeouts, maxHeaderSize: limits.headersBytesMax }, (request, response) => {
    const { method = '', url = '' } = request;
    const query = url.indexOf('?');
    const handler = handlers.get(`${method} ${query < 0 ? url : url.slice(0, query)}`);
    if (handler === undefined) void serveApp(request, response);
    else handler(request, response).catch((error: unknown) => fail(response, error));
  });
  server.maxConnections = limits.connectionsMax;
  alsoWithTls(server, address, ['http/1.1'], limits.headersMsMax);
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    const upgrade = Object.hasOwn(upgrades, path) ? upgrades[path] : undefined;
    if (upgrade === undefined) socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n');
    else upgrade(request, socket, head);
  });
  server.listen({ host: address.host, port: address.port });
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      const timer = setTimeout(() => server.closeAllConnections(), closeMsMax);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** As the application does it with an error that nobody expected. */
function fail(response: ServerResponse, error: unknown): void {
  console.error(error);
  if (!response.headersSent) response.writeHead(500, { 'Content-Type': 'text/plain' });
  response.end('Internal Server Error');
}
