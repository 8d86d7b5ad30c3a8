import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Service } from '../../lake/base/service.ts';
import type { GatewayReport } from '../../provisioning/contract.ts';
import { createGatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import type { CloudSession } from '../fleet/session.ts';
import { signedReceipts } from '../fleet/signed-receipts.ts';
import type { Security } from '../security/open-security.ts';
import { type CloudStatus, openDoors } from './doors.ts';
import { openStorage, shipTheRest } from './storage.ts';

export interface KeptGateway extends Service {
  /** What the gateway says of itself. */
  readonly report: () => GatewayReport;
  /** Whether it stores what it receives. */
  readonly isHealthy: () => boolean;
  /** How its parts are. */
  readonly diagnostic: () => object;
  /** Closes it and opens it with another configuration; when that fails it rejects, and is open with the one before. */
  readonly reopen: (config: GatewayConfig) => Promise<void>;
}

/** What the gateway has to do with its cloud, if it is enrolled. */
interface Cloud {
  readonly session: CloudSession | undefined;
  readonly status: () => CloudStatus | undefined;
}

/** A gateway whose log turns out to be damaged is closed and opened again, on the same ports: see wal/recovery. */
export async function keepOpen(
  config: GatewayConfig,
  logger: Logger,
  security: Security,
  cloud: Cloud,
): Promise<KeptGateway> {
  let stopped = false;
  let last: Promise<void> = Promise.resolve();
  let current = config;
  const close = (): Promise<void> =>
    gateway[Symbol.asyncDispose]().catch((error: unknown) => {
      logger.warn('not everything could be closed in order', { error: messageOf(error) });
    });
  const open = (next: GatewayConfig) =>
    openGateway(onPorts(next, config, ready), logger, security, cloud, onDamage);
  /** One after the other; what can't be opened again ends the process, and whoever started it starts it again. */
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const done = last.then(async () => {
      if (!stopped) await work();
    });
    last = done.catch(() => undefined);
    return done;
  };
  const openAgain = async (): Promise<void> => {
    try {
      gateway = await open(current);
    } catch (error) {
      logger.error('the gateway can not be opened again', { error: messageOf(error) });
      process.exit(1);
    }
  };
  const onDamage = (): void =>
    void inTurn(async () => {
      await close();
      await openAgain();
    });
  let gateway = await openGateway(config, logger, security, cloud, onDamage);
  const { ready } = gateway;
  return {
    ready,
    report: () => gateway.report(),
    isHealthy: () => gateway.isHealthy(),
    diagnostic: () => gateway.diagnostic(),
    reopen: (next) =>
      inTurn(async () => {
        await close();
        try {
          gateway = await open(next);
          current = next;
        } catch (error) {
          await openAgain();
          throw error;
        }
      }),
    [Symbol.asyncDispose]: async () => {
      stopped = true;
      await last;
      await gateway[Symbol.asyncDispose]();
    },
  };
}

type Ready = Awaited<ReturnType<typeof openGateway>>['ready'];

/** Where a port is as it was configured at the start, the one that was taken then. */
function onPorts(next: GatewayConfig, first: GatewayConfig, ready: Ready): GatewayConfig {
  const same = (asked: number, before: number, taken: number | undefined): number =>
    asked === before ? (taken ?? asked) : asked;
  const { mqtt, http, otlp, pgwire } = first;
  return {
    ...next,
    mqtt: {
      ...next.mqtt,
      port: same(next.mqtt.port, mqtt.port, ready.mqtt),
      webSocketPort: same(next.mqtt.webSocketPort, mqtt.webSocketPort, ready.mqttWebSocket),
      tls: {
        ...next.mqtt.tls,
        port: same(next.mqtt.tls.port, mqtt.tls.port, ready.mqttTls),
        webSocketPort: same(next.mqtt.tls.webSocketPort, mqtt.tls.webSocketPort, ready.mqttTlsWebSocket),
      },
    },
    http: { ...next.http, port: same(next.http.port, http.port, ready.gatewayHttp) },
    otlp: {
      ...next.otlp,
      httpPort: same(next.otlp.httpPort, otlp.httpPort, ready.otlpHttp),
      grpcPort: same(next.otlp.grpcPort, otlp.grpcPort, ready.otlpGrpc),
    },
    pgwire: { ...next.pgwire, port: same(next.pgwire.port, pgwire.port, ready.gatewayPg) },
  };
}

async function openGateway(
  config: GatewayConfig,
  logger: Logger,
  security: Security,
  cloud: Cloud,
  onDamage: () => void,
) {
  await using stack = new AsyncDisposableStack();
  const gatewayClock = createGatewayClock({ ...config.clock, logger });
  const { session } = cloud;
  const shipsTo = { session, openReceipt: session && signedReceipts(session) };
  const storage = await openStorage(config, gatewayClock, logger, shipsTo, onDamage, stack);
  stack.defer(() => shipTheRest(storage, gatewayClock.clock));
  const doors = await openDoors(config, gatewayClock, logger, storage, security, cloud.status, stack);
  const { endpoints: _, ...ports } = doors.ready;
  logger.info('gateway is running', { dataDir: config.dataDir, ...ports });
  const open = stack.move();
  return { ...doors, [Symbol.asyncDispose]: () => open.disposeAsync() };
}
