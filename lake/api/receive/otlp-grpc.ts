import { once } from 'node:events';
import {
  constants,
  createServer,
  type Http2Session,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import { type ErrorCode, FirnError, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { alsoWithTls, type ListenerTls } from '../../base/server-tls.ts';
import type { OtlpLimits } from '../../receive/otlp/limits.ts';
import type { OtlpSignal } from '../../receive/otlp/receive.ts';
import { exportResponse, rpcCodes, rpcStatus } from '../../receive/otlp/response.ts';
import { decompress } from './decompress.ts';
import type { OtlpOutcome, OtlpReceiver } from './otlp-receiver.ts';

// OTLP over gRPC: three unary calls over HTTP/2, by gRPC's protocol (grpc/grpc doc/PROTOCOL-HTTP2.md). A
// message is a byte that says whether it is compressed, its length, and its bytes; the status comes in trailers.

export const otlpServices: Readonly<Record<string, OtlpSignal>> = {
  '/opentelemetry.proto.collector.logs.v1.LogsService/Export': 'logs',
  '/opentelemetry.proto.collector.trace.v1.TraceService/Export': 'traces',
  '/opentelemetry.proto.collector.metrics.v1.MetricsService/Export': 'metrics',
};

export interface OtlpGrpcOptions extends ListenerTls {
  readonly host: string;
  readonly port: number;
  /**
   * Who takes a call, asked before its message is read; undefined: who asks is not known. Throws FirnError `denied`,
   * `invalid`, `limit` or `unavailable`, as the receiver may.
   */
  readonly receiverFor: (
    caller: RpcCaller,
    signal: OtlpSignal,
  ) => OtlpReceiver | undefined | Promise<OtlpReceiver | undefined>;
  readonly limits: OtlpLimits;
  readonly connectionsMax: number;
  readonly logger: Logger;
}

export interface RpcCaller {
  readonly headers: IncomingHttpHeaders;
  /** Of its connection. */
  readonly address: string;
  readonly encrypted: boolean;
}

export interface OtlpGrpcServer extends AsyncDisposable {
  readonly port: number;
}

/** Calls of one connection at once. */
const streamsMax = 100;
/** How long a sender waits before it comes back, when there was no room. */
const retryMs = 1000;
const headerBytes = 5;

export async function startOtlpGrpc(options: OtlpGrpcOptions): Promise<OtlpGrpcServer> {
  const server = createServer({ settings: { maxConcurrentStreams: streamsMax } });
  const sessions = new Set<Http2Session>();
  server.on('session', (session) => {
    if (sessions.size >= options.connectionsMax) {
      session.destroy();
      return;
    }
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    session.on('error', () => session.destroy());
  });
  server.on('stream', (stream, headers) => {
    stream.on('error', () => stream.destroy()); // the sender went away
    handle(stream, headers, options).catch((error: unknown) => {
      if (error instanceof FirnError) {
        finish(stream, refusalOf(error));
        return;
      }
      options.logger.error('an OTLP call failed', { error: messageOf(error) });
      finish(stream, { code: rpcCodes.internal, message: 'internal error' });
    });
  });
  alsoWithTls(server, options, ['h2'], handshakeMsMax);
  server.listen({ host: options.host, port: options.port });
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      const closed = once(server, 'close');
      server.close();
      for (const session of sessions) session.close();
      const timer = setTimeout(() => {
        for (const session of sessions) session.destroy();
      }, closeMsMax);
      await closed;
      clearTimeout(timer);
    },
  };
}

/** Until a connection has said whether it is TLS, and is. */
const handshakeMsMax = 20_000;
/** How long running calls may take to end when the server closes. */
const closeMsMax = 2000;

async function handle(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  { receiverFor, limits }: OtlpGrpcOptions,
): Promise<void> {
  if (!/^application\/grpc(\+proto)?(;|$)/.test(headers['content-type'] ?? '')) {
    stream.respond({ [constants.HTTP2_HEADER_STATUS]: 415 }, { endStream: true });
    return;
  }
  const signal = otlpServices[headers[':path'] ?? ''];
  if (headers[':method'] !== 'POST' || signal === undefined) {
    finish(stream, { code: rpcCodes.unimplemented, message: `unknown method ${headers[':path']}` });
    return;
  }
  const address = stream.session?.socket.remoteAddress ?? '';
  const encrypted = stream.session?.encrypted === true;
  const receive = await receiverFor({ headers, address, encrypted }, signal);
  if (receive === undefined) {
    finish(stream, {
      code: rpcCodes.unauthenticated,
      message: 'give credentials in the metadata "authorization"',
    });
    return;
  }
  const encoding = String(headers['grpc-encoding'] ?? 'identity');
  const body = await readMessage(stream, encoding, limits);
  if (body === undefined) return; // the sender went away
  finishOutcome(stream, signal, await receive(signal, 'protobuf', body));
}

const codeOfError: Partial<Record<ErrorCode, number>> = {
  denied: rpcCodes.permissionDenied,
  limit: rpcCodes.resourceExhausted,
  unavailable: rpcCodes.unavailable,
  unsupported: rpcCodes.unimplemented,
};

function refusalOf({ code: kind, message, retryAfterMs }: FirnError): Finish {
  const code = codeOfError[kind] ?? rpcCodes.invalidArgument;
  if (retryAfterMs === undefined) return { code, message };
  return { code, message, details: rpcStatus(code, message, 'protobuf', retryAfterMs) };
}

function finishOutcome(stream: ServerHttp2Stream, signal: OtlpSignal, outcome: OtlpOutcome): void {
  if (outcome.kind === 'stored')
    finish(stream, {
      ...{ code: rpcCodes.ok, message: '' },
      reply: exportResponse(signal, outcome.rejected, 'protobuf'),
    });
  else if (outcome.kind === 'invalid')
    finish(stream, { code: rpcCodes.invalidArgument, message: outcome.message });
  else {
    const code = outcome.code === 'limit' ? rpcCodes.resourceExhausted : rpcCodes.unavailable;
    // Without RetryInfo, a sender does not come back after RESOURCE_EXHAUSTED.
    const details = rpcStatus(code, outcome.message, 'protobuf', retryMs);
    finish(stream, { code, message: outcome.message, details });
  }
}

/** The one message of a unary call; undefined when the sender went away. Throws FirnError. */
async function readMessage(
  stream: ServerHttp2Stream,
  encoding: string,
  limits: OtlpLimits,
): Promise<Uint8Array | undefined> {
  const all = await readAll(stream, limits);
  if (all === undefined) return undefined;
  if (all.length < headerBytes || all.length !== headerBytes + all.readUInt32BE(1))
    throw invalid('invalid', 'the call does not hold one message');
  const message = all.subarray(headerBytes);
  if (all[0] === 0) return message;
  if (encoding === 'gzip' || encoding === 'deflate') return decompress(message, encoding, limits);
  throw invalid('unsupported', `grpc-encoding ${encoding} is not supported: send identity, gzip or deflate`);
}

/** Not by iteration: a stream that is left in its middle is destroyed, and could not be answered. */
function readAll(stream: ServerHttp2Stream, limits: OtlpLimits): Promise<Buffer | undefined> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= limits.bodyBytesMax + headerBytes) chunks.push(chunk);
      else {
        stream.pause();
        reject(tooLarge(limits));
      }
    });
    stream.on('end', () => resolve(Buffer.concat(chunks, bytes)));
    stream.on('close', () => resolve(undefined));
  });
}

const tooLarge = ({ bodyBytesMax }: OtlpLimits) =>
  new FirnError({
    ...{ code: 'limit', operation: 'receive OTLP', subject: 'bodyBytesMax' },
    message: `the message is larger than ${bodyBytesMax} bytes (bodyBytesMax)`,
  });

const invalid = (code: 'invalid' | 'unsupported', message: string) =>
  new FirnError({ code, operation: 'receive OTLP', subject: 'message', message });

interface Finish {
  readonly code: number;
  readonly message: string;
  readonly reply?: Buffer;
  readonly details?: Buffer;
}

/** Answers a call: its message, and the status behind it; only the status when it failed. */
function finish(stream: ServerHttp2Stream, { code, message, reply, details }: Finish): void {
  if (stream.destroyed || stream.headersSent) return;
  const status: OutgoingHttpHeaders = {
    'grpc-status': String(code),
    ...(message !== '' && { 'grpc-message': encodeURIComponent(message.toWellFormed().slice(0, 1000)) }),
    ...(details && { 'grpc-status-details-bin': details.toString('base64') }),
  };
  const headers = {
    [constants.HTTP2_HEADER_STATUS]: 200,
    'content-type': 'application/grpc',
    'grpc-accept-encoding': 'identity,gzip,deflate',
  };
  if (reply === undefined) {
    stream.respond({ ...headers, ...status }, { endStream: true });
    if (!stream.readableEnded) stream.close(constants.NGHTTP2_NO_ERROR); // what is still to come of the call
    return;
  }
  stream.respond(headers, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers(status));
  const header = Buffer.alloc(headerBytes);
  header.writeUInt32BE(reply.length, 1);
  stream.end(Buffer.concat([header, reply]));
}
