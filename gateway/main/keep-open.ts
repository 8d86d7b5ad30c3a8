import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Service } from '../../lake/base/service.ts';
import type { GatewayReport } from '../../provisioning/contract.ts';
import { createGatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import { openDoors } from './doors.ts';
import { openStorage, shipTheRest } from './storage.ts';

export interface KeptGateway extends Service {
  /** What the gateway says of itself. */
  readonly report: () => GatewayReport;
}

/** A gateway whose log turns out to be damaged is closed and opened again, on the same ports: see wal/recovery. */
export async function keepOpen(
  config: GatewayConfig,
  logger: Logger,
  cloudStatus: () => object | undefined,
): Promise<KeptGateway> {
  let stopped = false;
  let last: Promise<void> = Promise.resolve();
  const reopen = async (): Promise<void> => {
    if (stopped) return;
    await gateway[Symbol.asyncDispose]().catch((error: unknown) => {
      logger.warn('not everything could be closed in order', { error: messageOf(error) });
    });
    gateway = await openGateway(samePorts, logger, cloudStatus, onDamage);
  };
  const onDamage = (): void => {
    last = last.then(reopen).catch((error: unknown) => {
      logger.error('the gateway can not be opened again', { error: messageOf(error) });
      process.exit(1); // whoever started it starts it again
    });
  };
  let gateway = await openGateway(config, logger, cloudStatus, onDamage);
  const { ready } = gateway;
  const samePorts: GatewayConfig = {
    ...config,
    mqtt: {
      ...{ ...config.mqtt, port: ready.mqtt, webSocketPort: ready.mqttWebSocket },
      tls: {
        ...config.mqtt.tls,
        port: ready.mqttTls ?? config.mqtt.tls.port,
        webSocketPort: ready.mqttTlsWebSocket ?? config.mqtt.tls.webSocketPort,
      },
    },
    http: { ...config.http, port: ready.gatewayHttp },
    otlp: {
      ...config.otlp,
      httpPort: ready.otlpHttp ?? config.otlp.httpPort,
      grpcPort: ready.otlpGrpc ?? config.otlp.grpcPort,
    },
    pgwire: { ...config.pgwire, port: ready.gatewayPg },
  };
  return {
    ready,
    report: () => gateway.report(),
    [Symbol.asyncDispose]: async () => {
      stopped = true;
      await last;
      await gateway[Symbol.asyncDispose]();
    },
  };
}

async function openGateway(
  config: GatewayConfig,
  logger: Logger,
  cloudStatus: () => object | undefined,
  onDamage: () => void,
) {
  await using stack = new AsyncDisposableStack();
  const gatewayClock = createGatewayClock({ ...config.clock, logger });
  const storage = await openStorage(config, gatewayClock, logger, onDamage, stack);
  stack.defer(() => shipTheRest(storage, gatewayClock.clock));
  const { ready, report } = await openDoors(config, gatewayClock, logger, storage, cloudStatus, stack);
  logger.info('gateway is running', { dataDir: config.dataDir, ...ready });
  const open = stack.move();
  return { ready, report, [Symbol.asyncDispose]: () => open.disposeAsync() };
}
