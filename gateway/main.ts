import { createLogger } from '../lake/base/log.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { type Service, serviceCommand } from '../lake/base/service.ts';
import { createGatewayClock } from './clock/gateway-clock.ts';
import { type GatewayConfig, gatewaySettings, loadGatewayConfig } from './config.ts';
import { lockFolder } from './folder-lock.ts';
import { openDoors } from './main/doors.ts';
import { openStorage, shipTheRest } from './main/storage.ts';

// The gateway process: joins the rooms beside it. What is opened is closed in reverse.

export function main(argv: readonly string[]): Promise<number> {
  const start = async (flags: readonly string[]): Promise<Service> => startGateway(loadGatewayConfig(flags));
  return serviceCommand(
    { name: 'firn gateway', about: 'Runs a gateway.', settings: gatewaySettings, start },
    argv,
  );
}

async function startGateway(config: GatewayConfig): Promise<Service> {
  checkFolder(config.dataDir, '--data-dir');
  await checkPorts(config.listen.host, {
    '--mqtt-port': config.mqtt.port,
    '--mqtt-web-socket-port': config.mqtt.webSocketPort,
    '--http-port': config.http.port,
    '--pgwire-port': config.pgwire.port,
  });
  const logger = createLogger(config.logLevel).with({ part: 'gateway' });
  await using stack = new AsyncDisposableStack();
  stack.use(lockFolder(config.dataDir));
  const gatewayClock = createGatewayClock({ ...config.clock, logger });
  const storage = await openStorage(config, gatewayClock, logger, stack);
  stack.defer(() => shipTheRest(storage, gatewayClock.clock));
  const ready = await openDoors(config, gatewayClock, logger, storage, stack);
  logger.info('gateway is running', { dataDir: config.dataDir, ...ready });
  const open = stack.move();
  return { ready, [Symbol.asyncDispose]: () => open.disposeAsync() };
}
