import { Hono } from 'hono';
import { startHttpServer } from '../../lake/api/http-server.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { GatewayConfig } from '../config.ts';
import { type OtlpGrpcOptions, startOtlpGrpc } from '../receive/otlp-grpc.ts';
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
  const admit: OtlpGrpcOptions['admit'] = async (asked, method) => {
    const admission = await gate(asked, 'ingest', method);
    return 'user' in admission ? undefined : admission.refusal;
  };
  const grpc = stack.use(
    await startOtlpGrpc({ ...{ host, port, receive, limits, connectionsMax, logger }, tls, admit }),
  );
  return { otlpHttp: http.port, otlpGrpc: grpc.port };
}
