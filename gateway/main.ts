import { systemClock } from '../lake/base/clock.ts';
import { createLogger, type Logger } from '../lake/base/log.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { type Service, serviceCommand } from '../lake/base/service.ts';
import { type GatewayConfig, gatewaySettings, idByDefault, loadGatewayConfig } from './config.ts';
import { type Agent, startAgent } from './fleet/agent.ts';
import { openCloudClient } from './fleet/cloud-client.ts';
import { enrollPatiently } from './fleet/enroll.ts';
import { type Identity, identityFolder, readIdentity } from './fleet/identity.ts';
import { type CloudSession, openCloudSession } from './fleet/session.ts';
import { lockFolder } from './folder-lock.ts';
import { keepOpen } from './main/keep-open.ts';

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
  const identity = await identityOf(given, logger, stopping);
  const cloud = identity && openCloud(given, identity, logger, stack);
  let agent: Agent | undefined;
  const gateway = stack.use(await keepOpen(identified(given, identity), logger, () => agent?.status));
  if (cloud)
    agent = stack.use(startAgent({ session: cloud, report: gateway.report, clock: systemClock, logger }));
  const open = stack.move();
  return { ready: gateway.ready, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** Who this gateway is; enrolls first if there is a claim and no identity. Undefined: as its settings say. */
async function identityOf(
  config: GatewayConfig,
  logger: Logger,
  stopping: AbortSignal,
): Promise<Identity | undefined> {
  const { dataDir, cloud, proxy } = config;
  const known = readIdentity(identityFolder(dataDir));
  if (known !== undefined || cloud.claim === '') return known;
  const asked = config.gateway === idByDefault ? undefined : config.gateway;
  const options = { dataDir, cloud: { ...cloud, proxy }, claim: cloud.claim, gateway: asked };
  const identity = await enrollPatiently({ ...options, clock: systemClock, logger }, stopping);
  const { url, tenant, site, gateway } = identity;
  logger.info('enrolled', { url, tenant, site, gateway });
  return identity;
}

function identified(config: GatewayConfig, identity: Identity | undefined): GatewayConfig {
  if (identity === undefined) return config;
  const { tenant, site, gateway } = identity;
  return { ...config, tenant, site, gateway };
}

function openCloud(
  { dataDir, cloud, proxy }: GatewayConfig,
  identity: Identity,
  logger: Logger,
  stack: AsyncDisposableStack,
): CloudSession {
  const client = stack.use(openCloudClient({ ...cloud, proxy, url: cloud.url || identity.url }));
  const folder = identityFolder(dataDir);
  return openCloudSession({ client, identity, folder, clock: systemClock, logger });
}
