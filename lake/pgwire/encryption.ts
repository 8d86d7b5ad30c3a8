import { createHash, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, statSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls';
import type { Logger } from '../base/log.ts';
import { SqlError } from '../sql/errors.ts';

// What comes before the first message: whether the connection is encrypted. A client asks (SSLRequest, GSSENCRequest) and
// is answered by one byte, or it just begins with TLS ("direct", with the ALPN protocol "postgresql").
// https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL

interface TlsFiles {
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

/**
 * Reads the files now, and again for a connection that finds them changed; what can't be read then is given to
 * `onFailure`, and what was read before stays in use. Throws what reading throws, and for a key that does not fit.
 */
function openServerTls(
  { certFile, keyFile }: TlsFiles,
  onFailure: (error: unknown) => void,
): () => ServerTls {
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
      onFailure(error);
    }
    return current;
  };
}

/** The TLS of a server by its settings; nothing without a certificate. Throws what `openServerTls` throws. */
export function pgTls(
  { requireTls, ...files }: TlsFiles & { readonly requireTls: boolean },
  logger: Logger,
): { readonly requireTls: boolean; readonly tls?: () => ServerTls } {
  if (files.certFile === '') return { requireTls: false };
  const onFailure = (error: unknown): void =>
    logger.error('a changed certificate can not be read, the one before stays in use', { error });
  return { requireTls, tls: openServerTls(files, onFailure) };
}

/** The hash is the one of the certificate's signature, but at least SHA-256. */
function endPointOf(certificate: X509Certificate): Buffer | undefined {
  const algorithm = certificate.signatureAlgorithm?.toLowerCase() ?? '';
  const hash = /sha(256|384|512)/.exec(algorithm)?.[0] ?? (/md5|sha1/.test(algorithm) ? 'sha256' : undefined);
  return hash === undefined ? undefined : createHash(hash).update(certificate.raw).digest();
}

export interface Transport {
  readonly socket: Socket;
  /** How the connection is encrypted; undefined when it is not. */
  readonly tls: ServerTls | undefined;
}

const sslRequest = 80877103;
const gssRequest = 80877104;
const requestBytes = 8;
/** The first byte of a TLS record with a handshake; a start-up message would have 369 MB with it. */
const tlsHandshake = 0x16;

/**
 * Settles encryption and returns the socket that the messages come from; undefined when the client has gone. Throws
 * SqlError 08P01 for a request that was answered already and for bytes that were sent before encryption and would be
 * taken for encrypted ones.
 */
export async function openTransport(
  socket: Socket,
  tls: (() => ServerTls) | undefined,
): Promise<Transport | undefined> {
  const asked = new Set<number>();
  for (;;) {
    const bytes = await peek(socket);
    if (!bytes) return undefined;
    if (bytes[0] === tlsHandshake && tls && asked.size === 0) return direct(socket, tls());
    const isRequest = bytes.length >= requestBytes && bytes.readInt32BE() === requestBytes;
    const code = isRequest ? bytes.readInt32BE(4) : 0;
    if (code !== sslRequest && code !== gssRequest) return { socket, tls: undefined };
    if (asked.has(code)) throw new SqlError('08P01', 'encryption was declined already');
    asked.add(code);
    socket.read(requestBytes);
    const accepted = code === sslRequest && tls !== undefined;
    if (accepted && socket.readableLength > 0) {
      throw new SqlError('08P01', 'received unencrypted data after SSL request');
    }
    socket.write(accepted ? 'S' : 'N');
    if (accepted) return encrypted(socket, tls());
  }
}

/** What has come, at least enough to tell what it is; it stays unread. */
async function peek(socket: Socket): Promise<Buffer | undefined> {
  for (;;) {
    const bytes: Buffer | null = socket.read();
    if (bytes) socket.unshift(bytes);
    if (socket.readableEnded || socket.destroyed) return undefined;
    const known =
      bytes && (bytes[0] === tlsHandshake || bytes.length >= requestBytes || !couldBeRequest(bytes));
    if (known) return bytes;
    await readable(socket);
  }
}

/** A length that no request has is for the frame reader to judge. */
const couldBeRequest = (bytes: Buffer): boolean => bytes.length < 4 || bytes.readInt32BE() >= requestBytes;

async function readable(socket: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const events = ['readable', 'end', 'close', 'error'] as const;
  for (const event of events) socket.once(event, resolve);
  await promise;
  for (const event of events) socket.off(event, resolve);
}

async function direct(socket: Socket, tls: ServerTls): Promise<Transport | undefined> {
  const transport = await encrypted(socket, tls);
  // Another protocol on this port would be talked into sending what this one understands (ALPACA).
  if ((transport?.socket as TLSSocket | undefined)?.alpnProtocol === 'postgresql') return transport;
  transport?.socket.destroy();
  return undefined;
}

async function encrypted(socket: Socket, tls: ServerTls): Promise<Transport | undefined> {
  const secure = new TLSSocket(socket, {
    ...{ isServer: true, secureContext: tls.context, ALPNProtocols: ['postgresql'] },
  });
  try {
    await Promise.race([
      once(secure, 'secure'),
      once(secure, 'close').then(() => Promise.reject(new Error('closed in the handshake'))),
    ]);
  } catch {
    secure.destroy();
    return undefined;
  }
  return { socket: secure, tls };
}
