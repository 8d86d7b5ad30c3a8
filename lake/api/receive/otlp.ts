import { type Context, Hono } from 'hono';
import { FirnError } from '../../base/errors.ts';
import type { OtlpLimits } from '../../receive/otlp/limits.ts';
import type { OtlpFormat, OtlpSignal } from '../../receive/otlp/receive.ts';
import { exportResponse, rpcCodes, rpcStatus } from '../../receive/otlp/response.ts';
import { decompress } from './decompress.ts';
import type { OtlpReceiver } from './otlp-receiver.ts';
import { readBody } from './read-body.ts';

const mediaTypes: Readonly<Record<OtlpFormat, string>> = {
  json: 'application/json',
  protobuf: 'application/x-protobuf',
};

/**
 * OTLP over HTTP: POST /v1/{logs,traces,metrics}, and where Loki and Prometheus have it. 200 means on disk, but for what
 * the partial success of the answer names.
 */
export function otlpRoutes(receive: OtlpReceiver, limits: OtlpLimits): Hono {
  const app = new Hono();
  const paths: readonly (readonly [path: string, signal: OtlpSignal])[] = [
    ['/v1/logs', 'logs'],
    ['/v1/traces', 'traces'],
    ['/v1/metrics', 'metrics'],
    ['/otlp/v1/logs', 'logs'],
    ['/api/v1/otlp/v1/metrics', 'metrics'],
  ];
  for (const [path, signal] of paths) {
    app.post(path, (context) => answer(context, signal, receive, limits));
    app.all(path, (context) => context.text('405 method not allowed, supported: [POST]', 405));
  }
  return app;
}

async function answer(
  context: Context,
  signal: OtlpSignal,
  receive: OtlpReceiver,
  limits: OtlpLimits,
): Promise<Response> {
  const request = context.req.raw;
  const format = formatOf(request.headers.get('content-type') ?? '');
  if (format === undefined)
    return context.text(
      '415 unsupported media type, supported: [application/json, application/x-protobuf]',
      415,
    );
  const reply = (status: 200 | 400 | 413 | 429 | 503, bytes: Buffer, retryAfter?: number): Response => {
    const headers: Record<string, string> = { 'Content-Type': mediaTypes[format] };
    if (retryAfter !== undefined) headers['Retry-After'] = String(retryAfter);
    return context.body(new Uint8Array(bytes), status, headers);
  };
  const refuse = (status: 400 | 413, message: string): Response =>
    reply(status, rpcStatus(rpcCodes.invalidArgument, message, format));

  const sent = await readBody(context, limits.bodyBytesMax);
  if (sent === 'too-large')
    return refuse(413, `the body is larger than ${limits.bodyBytesMax} bytes (bodyBytesMax)`);
  if (sent === 'cut-off') return refuse(400, 'the body ends too early');
  let body: Uint8Array;
  try {
    body = await decoded(sent, request.headers.get('content-encoding') ?? '', limits);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    return refuse(error.code === 'limit' ? 413 : 400, error.message);
  }
  const outcome = await receive(signal, format, body);
  switch (outcome.kind) {
    case 'stored':
      return reply(200, exportResponse(signal, outcome.rejected, format));
    case 'invalid':
      return refuse(400, outcome.message);
    case 'later': {
      const [status, code] =
        outcome.code === 'limit'
          ? ([429, rpcCodes.resourceExhausted] as const)
          : ([503, rpcCodes.unavailable] as const);
      const seconds = outcome.retryAfterSeconds;
      return reply(status, rpcStatus(code, outcome.message, format, seconds * 1000), seconds);
    }
  }
}

function formatOf(contentType: string): OtlpFormat | undefined {
  const media = (contentType.split(';')[0] ?? '').trim().toLowerCase();
  return media === mediaTypes.json ? 'json' : media === mediaTypes.protobuf ? 'protobuf' : undefined;
}

async function decoded(body: Uint8Array, encoding: string, limits: OtlpLimits): Promise<Uint8Array> {
  switch (encoding.trim().toLowerCase()) {
    case '':
    case 'identity':
      return body;
    case 'gzip':
      return decompress(body, 'gzip', limits);
    case 'zstd':
      return decompress(body, 'zstd', limits);
    case 'deflate':
    case 'zlib':
      return decompress(body, 'deflate', limits);
    default:
      throw new FirnError({
        code: 'invalid',
        operation: 'receive OTLP',
        subject: 'content-encoding',
        message: `unsupported Content-Encoding: ${encoding} (send none, gzip, zstd or deflate)`,
      });
  }
}
