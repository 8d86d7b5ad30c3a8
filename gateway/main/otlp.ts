import { Hono } from 'hono';
import { startHttpServer } from '../../lake/api/http-server.ts';
import { type OtlpGrpcOptions, startOtlpGrpc } from '../../lake/api/receive/otlp-grpc.ts';
import { FirnError } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { GatewayConfig } from '../config.ts';
import type { Refusal } from '../security/gate.ts';
import { mount } from '../security/http-gate.ts';
import type { Entrance } from './entrance.ts';
import type { OtlpDoor } from './receivers.ts';

/** OTLP on its own ports, if that is wanted. Returns the ports. */
export async function listenForOtlp(
  { otlp, listen: { host } }: GatewayConfig,
  { receive, routes, limits }: OtlpDoor,
  { gate, tls }: Entrance,
  logger: Logger,
  stack: AsyncDisposableStack,
): Promise<{ readonly otlpHttp?: number; readonly otlpGrpc?: number }> {
  if (!otlp.listen) return {};
  const app = new Hono();
  mount(app, gate, 'ingest', routes);
  const http = stack.use(await startHttpServer(app, { host, port: otlp.httpPort, tls }));
  const { grpcPort: port, connectionsMax } = otlp;
  const receiverFor: OtlpGrpcOptions['receiverFor'] = async ({ headers, ...caller }, signal) => {
    const admission = await gate(
      { ...caller, authorization: headers.authorization },
      'ingest',
      `OTLP ${signal}`,
    );
    if ('user' in admission) return receive;
    if (admission.refusal.status === 401) return undefined;
    throw refusedCall(admission.refusal);
  };
  const grpc = stack.use(
    await startOtlpGrpc({ ...{ host, port, receiverFor, limits, connectionsMax, logger }, tls }),
  );
  return { otlpHttp: http.port, otlpGrpc: grpc.port };
}

const refusedCall = ({ status, message, retryAfterSeconds = 0 }: Refusal): FirnError =>
  new FirnError({
    ...{ code: status === 429 ? 'limit' : 'denied', operation: 'log in', subject: 'OTLP', message },
    ...(retryAfterSeconds > 0 && { retryAfterMs: retryAfterSeconds * 1000 }),
  });
