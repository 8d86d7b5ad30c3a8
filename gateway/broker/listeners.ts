import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { FirnError, messageOf } from '../../lake/base/errors.ts';

/** A server that hands each connection over as a byte stream. */
export interface Listener extends AsyncDisposable {
  readonly port: number;
}

export type OnConnection = (stream: Duplex, request?: IncomingMessage) => void;

/** Listens for MQTT over TCP. Resolves when it does; throws FirnError `unavailable` or `denied` that names the port. */
export async function listenTcp(host: string, port: number, onConnection: OnConnection): Promise<Listener> {
  const server = createServer({ noDelay: true }, (socket) => onConnection(socket));
  return listening(server, host, port, 'MQTT');
}

/** Listens for MQTT over WebSocket, on any path, sub-protocol `mqtt`. A message is at most `messageBytesMax` long. */
export async function listenWebSocket(
  host: string,
  port: number,
  messageBytesMax: number,
  onConnection: OnConnection,
): Promise<Listener> {
  const http = createHttpServer((_, response) => {
    response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' });
    response.end('This port speaks MQTT over WebSocket.\n');
  });
  const webSockets = new WebSocketServer({
    server: http,
    maxPayload: messageBytesMax,
    handleProtocols: (offered) => ['mqtt', 'mqttv3.1'].find((name) => offered.has(name)) ?? false,
  });
  // Errors of the HTTP server come up here too; without a listener they would end the process.
  webSockets.on('error', () => undefined);
  webSockets.on('connection', (webSocket, request) => {
    onConnection(createWebSocketStream(webSocket), request);
  });
  return listening(http, host, port, 'MQTT over WebSocket');
}

async function listening(server: Server, host: string, port: number, what: string): Promise<Listener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(what, host, port, error)));
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
      }),
  };
}

function cannotListen(what: string, host: string, port: number, error: Error): FirnError {
  const code = 'code' in error ? error.code : undefined;
  const why =
    code === 'EADDRINUSE' ? 'another program uses it' : code === 'EACCES' ? 'not allowed' : messageOf(error);
  return new FirnError({
    code: code === 'EACCES' ? 'denied' : 'unavailable',
    operation: 'listen',
    subject: `${host}:${port}`,
    message: `${what} cannot listen on ${host}:${port}: ${why}`,
    hint: 'choose another port',
    cause: error,
  });
}
