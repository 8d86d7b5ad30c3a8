import { systemClock } from '../lake/base/clock.ts';
import { messageOf } from '../lake/base/errors.ts';
import { createLogger, type Logger } from '../lake/base/log.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { type Service, serviceCommand } from '../lake/base/service.ts';
import { createGatewayClock } from './clock/gateway-clock.ts';
import { type GatewayConfig, gatewaySettings, idByDefault, loadGatewayConfig } from './config.ts';
import { enrollPatiently } from './fleet/enroll.ts';
import { identityFolder, readIdentity } from './fleet/identity.ts';
import { lockFolder } from './folder-lock.ts';
import { openDoors } from './main/doors.ts';
import { openStorage, shipTheRest } from './main/storage.ts';

// The gateway process: joins the rooms beside it. What is opened is closed in reverse.

export function main(argv: readonly string[]): Promise<number> {
  const start = async (flags: readonly string[], stopping: AbortSignal): Promise<Service> =>
    startGateway(loadGatewayConfig(flags), stopping);
  return serviceCommand(
    { name: 'firn gateway', about: 'Runs a gateway.', settings: gatewaySettings, start },
    argv,
  );
}

async function startGateway(given: GatewayConfig, stopping: AbortSignal): Promise<Service> {
  checkFolder(given.dataDir, '--data-dir');
  const { mqtt } = given;
  await checkPorts(mqtt.host || given.listen.host, {
    '--mqtt-port': mqtt.port,
    '--mqtt-web-socket-port': mqtt.webSocketPort,
    ...(mqtt.tls.certFile !== '' && {
      '--mqtt-tls-port': mqtt.tls.port,
      '--mqtt-tls-web-socket-port': mqtt.tls.webSocketPort,
    }),
  });
  await checkPorts(given.listen.host, {
    '--http-port': given.http.port,
    ...(given.otlp.listen && {
      '--otlp-http-port': given.otlp.httpPort,
      '--otlp-grpc-port': given.otlp.grpcPort,
    }),
    '--pgwire-port': given.pgwire.port,
  });
  const logger = createLogger(given.logLevel).with({ part: 'gateway' });
  await using stack = new AsyncDisposableStack();
  stack.use(lockFolder(given.dataDir));
  const config = await identified(given, logger, stopping);
  const gateway = await keepOpen(config, logger);
  stack.use(gateway);
  const open = stack.move();
  return { ready: gateway.ready, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** With tenant, site and id as the cloud has given them; enrolls first if there is a claim and no identity. */
async function identified(
  config: GatewayConfig,
  logger: Logger,
  stopping: AbortSignal,
): Promise<GatewayConfig> {
  const { dataDir, cloud, proxy } = config;
  let identity = readIdentity(identityFolder(dataDir));
  if (identity === undefined) {
    if (cloud.claim === '') return config;
    const asked = config.gateway === idByDefault ? undefined : config.gateway;
    const options = { dataDir, cloud: { ...cloud, proxy }, claim: cloud.claim, gateway: asked };
    identity = await enrollPatiently({ ...options, clock: systemClock, logger }, stopping);
    const { url, tenant, site, gateway } = identity;
    logger.info('enrolled', { url, tenant, site, gateway });
  }
  const { tenant, site, gateway } = identity;
  return { ...config, tenant, site, gateway };
}

/** A gateway whose log turns out to be damaged is closed and opened again, on the same ports: see wal/recovery. */
async function keepOpen(config: GatewayConfig, logger: Logger): Promise<Service> {
  let stopped = false;
  let last: Promise<void> = Promise.resolve();
  const reopen = async (): Promise<void> => {
    if (stopped) return;
    await gateway[Symbol.asyncDispose]().catch((error: unknown) => {
      logger.warn('not everything could be closed in order', { error: messageOf(error) });
    });
    gateway = await openGateway(samePorts, logger, onDamage);
  };
  const onDamage = (): void => {
    last = last.then(reopen).catch((error: unknown) => {
      logger.error('the gateway can not be opened again', { error: messageOf(error) });
      process.exit(1); // whoever started it starts it again
    });
  };
  let gateway = await openGateway(config, logger, onDamage);
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
    [Symbol.asyncDispose]: async () => {
      stopped = true;
      await last;
      await gateway[Symbol.asyncDispose]();
    },
  };
}

async function openGateway(config: GatewayConfig, logger: Logger, onDamage: () => void) {
  await using stack = new AsyncDisposableStack();
  const gatewayClock = createGatewayClock({ ...config.clock, logger });
  const storage = await openStorage(config, gatewayClock, logger, onDamage, stack);
  stack.defer(() => shipTheRest(storage, gatewayClock.clock));
  const ready = await openDoors(config, gatewayClock, logger, storage, stack);
  logger.info('gateway is running', { dataDir: config.dataDir, ...ready });
  const open = stack.move();
  return { ready, [Symbol.asyncDispose]: () => open.disposeAsync() };
}
