import { createServer as createHttpServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, type SecureContextOptions, type TlsOptions } from 'node:tls';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { FirnError, messageOf } from '../../lake/base/errors.ts';

/** A server that hands each connection over as a byte stream. */
export interface Listener extends AsyncDisposable {
  readonly port: number;
  /** Other certificates, for connections from now on; only of a TLS listener. */
  setCertificates(certificates: SecureContextOptions): void;
}

/** `socket` is what the stream came over: it knows the address and the certificate of the other side. */
export type OnConnection = (stream: Duplex, socket: Socket, request?: IncomingMessage) => void;

/** Certificates, and whether clients have to show theirs. */
export type TlsSettings = Pick<TlsOptions, 'cert' | 'key' | 'ca' | 'requestCert' | 'rejectUnauthorized'>;

const socketOptions = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 } as const;
const tlsDefaults = { minVersion: 'TLSv1.2', handshakeTimeout: 15_000 } as const;

/** Listens for MQTT over TCP or TLS. Resolves when it does; throws FirnError `unavailable` or `denied` naming the port. */
export async function listenTcp(
  host: string,
  port: number,
  onConnection: OnConnection,
  tls?: TlsSettings,
): Promise<Listener> {
  const handle = (socket: Socket): void => onConnection(socket, socket);
  const server = tls
    ? createTlsServer({ ...socketOptions, ...tlsDefaults, ...tls }, handle)
    : createServer(socketOptions, handle);
  return listening(server, host, port, tls ? 'MQTT over TLS' : 'MQTT');
}

/** Listens for MQTT over WebSocket, on any path, sub-protocol `mqtt`. A message is at most `messageBytesMax` long. */
export async function listenWebSocket(
  host: string,
  port: number,
  messageBytesMax: number,
  onConnection: OnConnection,
  tls?: TlsSettings,
): Promise<Listener> {
  const answer: RequestListener = (_, response) => {
    response.writeHead(426, { 'content-type': 'text/plain', upgrade: 'websocket' });
    response.end('This port speaks MQTT over WebSocket.\n');
  };
  const http = tls ? createHttpsServer({ ...tlsDefaults, ...tls }, answer) : createHttpServer(answer);
  const webSockets = new WebSocketServer({
    server: http,
    maxPayload: messageBytesMax,
    handleProtocols: (offered) => ['mqtt', 'mqttv3.1'].find((name) => offered.has(name)) ?? false,
  });
  // Errors of the HTTP server come up here too; without a listener they would end the process.
  webSockets.on('error', () => undefined);
  webSockets.on('connection', (webSocket, request) => {
    onConnection(createWebSocketStream(webSocket), request.socket, request);
  });
  return listening(http, host, port, tls ? 'MQTT over WebSocket and TLS' : 'MQTT over WebSocket');
}

async function listening(server: Server, host: string, port: number, what: string): Promise<Listener> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(cannotListen(what, host, port, error)));
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    setCertificates: (certificates) => {
      if ('setSecureContext' in server && typeof server.setSecureContext === 'function')
        server.setSecureContext(certificates);
    },
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
