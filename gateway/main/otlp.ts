import { startHttpServer } from '../../lake/api/http-server.ts';
import { startOtlpGrpc } from '../../lake/api/receive/otlp-grpc.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { GatewayConfig } from '../config.ts';
import type { OtlpDoor } from './receivers.ts';

/** OTLP on its own ports, if that is wanted. Returns the ports. */
export async function listenForOtlp(
  { otlp, listen: { host } }: GatewayConfig,
  { receive, routes, limits }: OtlpDoor,
  logger: Logger,
  stack: AsyncDisposableStack,
): Promise<{ readonly otlpHttp?: number; readonly otlpGrpc?: number }> {
  if (!otlp.listen) return {};
  const http = stack.use(await startHttpServer(routes, { host, port: otlp.httpPort }));
  const { grpcPort: port, connectionsMax } = otlp;
  const receiverFor = () => receive;
  const grpc = stack.use(await startOtlpGrpc({ host, port, receiverFor, limits, connectionsMax, logger }));
  return { otlpHttp: http.port, otlpGrpc: grpc.port };
}
