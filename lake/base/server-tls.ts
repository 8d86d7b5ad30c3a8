import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { Logger } from './log.ts';

// TLS of servers whose port also takes plain connections: the first byte tells which it is.

export interface TlsFiles {
  /** Certificate chain and private key, PEM. */
  readonly certFile: string;
  readonly keyFile: string;
}

/** What a server presents to TLS clients. */
export interface ServerTls {
  readonly context: SecureContext;
  /** tls-server-end-point of RFC 5929; undefined where the hash of the certificate's signature is not known. */
  readonly channelBinding: Buffer | undefined;
}

/** The first byte of a TLS record with a handshake. No request of HTTP or HTTP/2 begins with it. */
export const tlsHandshake = 0x16;

/**
 * Reads the files now, and again for a connection that finds them changed; what can't be read then is logged, and what was
 * read before stays in use. Throws what reading throws, and for a key that does not fit.
 */
export function openServerTls({ certFile, keyFile }: TlsFiles, logger: Logger): () => ServerTls {
  const stampOf = (): string => [certFile, keyFile].map((path) => statSync(path).mtimeMs).join();
  const read = (): ServerTls => {
    const cert = readFileSync(certFile, 'utf8');
    return {
      context: createSecureContext({ cert, key: readFileSync(keyFile, 'utf8'), minVersion: 'TLSv1.2' }),
      channelBinding: endPointOf(new X509Certificate(cert)),
    };
  };
  let seen = stampOf();
  let current = read();
  return () => {
    try {
      const now = stampOf();
      if (now !== seen) current = read();
      seen = now;
    } catch (error) {
      logger.error('a changed certificate can not be read, the one before stays in use', { error });
    }
    return current;
  };
}

/** The hash is the one of the certificate's signature, but at least SHA-256. */
function endPointOf(certificate: X509Certificate): Buffer | undefined {
  const algorithm = certificate.signatureAlgorithm?.toLowerCase() ?? '';
  const hash = /sha(256|384|512)/.exec(algorithm)?.[0] ?? (/md5|sha1/.test(algorithm) ? 'sha256' : undefined);
  return hash === undefined ? undefined : createHash(hash).update(certificate.raw).digest();
}

/** The server's side of a handshake; undefined when it came to nothing. The socket's bytes must be unread. */
export async function encrypted(
  socket: Socket,
  { context }: ServerTls,
  protocols: readonly string[],
): Promise<TLSSocket | undefined> {
  const secure = new TLSSocket(socket, {
    ...{ isServer: true, secureContext: context, ALPNProtocols: [...protocols] },
  });
  try {
    await Promise.race([
      once(secure, 'secure'),
      once(secure, 'close').then(() => Promise.reject(new Error('closed in the handshake'))),
    ]);
    // As a server of node:tls does: node:http2 waits for it.
    return Object.assign(secure, { secureConnecting: false });
  } catch {
    secure.destroy();
    return undefined;
  }
}

/** What has come, as soon as `enough` says so; it stays unread. Undefined when the other side has gone. */
export async function peek(
  socket: Socket,
  enough: (bytes: Buffer) => boolean = () => true,
): Promise<Buffer | undefined> {
  for (;;) {
    const bytes: Buffer | null = socket.read();
    if (bytes) socket.unshift(bytes);
    if (socket.readableEnded || socket.destroyed) return undefined;
    if (bytes && enough(bytes)) return bytes;
    await readable(socket);
  }
}

async function readable(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const events = ['readable', 'end', 'close', 'error'] as const;
  for (const event of events) socket.once(event, resolve);
  await promise;
  for (const event of events) socket.off(event, resolve);
}

/** What a listener shows TLS clients, and from whom it takes nothing else. */
export interface ListenerTls {
  /** Asked for at each connection; without it the port is plain. */
  readonly tls?: (() => ServerTls) | undefined;
  /** Whether a plain connection from an address is closed; absent: none is. */
  readonly requiresTls?: ((address: string) => boolean) | undefined;
}

/**
 * Lets a server that speaks in plain (`node:http`, `node:http2`) take TLS on the same port. A connection that has not said
 * which it is, or not finished its handshake, within `handshakeMsMax` is closed.
 */
export function alsoWithTls(
  server: Server,
  { tls, requiresTls }: ListenerTls,
  protocols: readonly string[],
  handshakeMsMax: number,
): void {
  if (tls === undefined) return;
  const serve = server.listeners('connection') as ((socket: Socket) => void)[];
  const take = async (socket: Socket): Promise<void> => {
    const destroy = (): void => void socket.destroy();
    socket.on('error', destroy);
    const timer = setTimeout(destroy, handshakeMsMax);
    try {
      const first = await peek(socket);
      const isTls = first?.[0] === tlsHandshake;
      if (!isTls && requiresTls?.(socket.remoteAddress ?? '')) return destroy();
      const stream = isTls ? await encrypted(socket, tls(), protocols) : first && socket;
      if (stream !== undefined) for (const each of serve) each.call(server, stream);
    } finally {
      clearTimeout(timer);
      socket.off('error', destroy);
    }
  };
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => void take(socket));
}
