import { once } from 'node:events';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';

export interface HttpServer extends AsyncDisposable {
  readonly port: number;
}

/** How long running requests may take to end when the server closes. */
const closeMsMax = 5000;

/** Serves an application; resolves when it listens. Closing waits for running requests, but not for ever. */
export async function startHttpServer(
  app: { fetch(request: Request): Response | Promise<Response> },
  address: { readonly host: string; readonly port: number },
): Promise<HttpServer> {
  const server = createAdaptorServer({ fetch: app.fetch }) as Server;
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
