import type { Socket } from 'node:net';
import type { Logger } from '../base/log.ts';
import {
  encrypted,
  openServerTls,
  peek,
  type ServerTls,
  type TlsFiles,
  tlsHandshake,
} from '../base/server-tls.ts';
import { SqlError } from '../sql/errors.ts';

// What comes before the first message: whether the connection is encrypted. A client asks (SSLRequest, GSSENCRequest) and
// is answered by one byte, or it just begins with TLS ("direct", with the ALPN protocol "postgresql").
// https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL

/** The TLS of a server by its settings; nothing without a certificate. Throws what `openServerTls` throws. */
export function pgTls(
  { requireTls, ...files }: TlsFiles & { readonly requireTls: boolean },
  logger: Logger,
): { readonly requiresTls?: () => boolean; readonly tls?: () => ServerTls } {
  if (files.certFile === '') return {};
  return { requiresTls: () => requireTls, tls: openServerTls(files, logger) };
}

export interface Transport {
  readonly socket: Socket;
  /** How the connection is encrypted; undefined when it is not. */
  readonly tls: ServerTls | undefined;
}

const sslRequest = 80877103;
const gssRequest = 80877104;
const requestBytes = 8;
const protocols = ['postgresql'];
/** A start-up message that began as TLS does would have 369 MB. */
const enough = (bytes: Buffer): boolean =>
  bytes[0] === tlsHandshake || bytes.length >= requestBytes || !couldBeRequest(bytes);

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
    const bytes = await peek(socket, enough);
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
    if (accepted) return within(socket, tls());
  }
}

/** A length that no request has is for the frame reader to judge. */
const couldBeRequest = (bytes: Buffer): boolean => bytes.length < 4 || bytes.readInt32BE() >= requestBytes;

async function direct(socket: Socket, tls: ServerTls): Promise<Transport | undefined> {
  const secure = await encrypted(socket, tls, protocols);
  // Another protocol on this port would be talked into sending what this one understands (ALPACA).
  if (secure?.alpnProtocol === 'postgresql') return { socket: secure, tls };
  secure?.destroy();
  return undefined;
}

async function within(socket: Socket, tls: ServerTls): Promise<Transport | undefined> {
  const secure = await encrypted(socket, tls, protocols);
  return secure && { socket: secure, tls };
}
