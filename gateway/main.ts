import { systemClock } from '../lake/base/clock.ts';
import { messageOf } from '../lake/base/errors.ts';
import { createLogger, type Logger } from '../lake/base/log.ts';
import { checkFolder, checkPorts } from '../lake/base/preflight.ts';
import { recentLines } from '../lake/base/recent-lines.ts';
import { openServerTls } from '../lake/base/server-tls.ts';
import { type Service, serviceCommand } from '../lake/base/service.ts';
import { announcements } from './appliance/announcement.ts';
import { placesUnder } from './appliance/places.ts';
import { firmwareUpdates } from './appliance/requested-update.ts';
import {
  type GatewayConfig,
  gatewaySettings,
  idByDefault,
  loadGatewayConfig,
  tenantByDefault,
  withCloudSettings,
} from './config.ts';
import { type Agent, startAgent } from './fleet/agent.ts';
import { openCloudClient } from './fleet/cloud-client.ts';
import { enrollPatiently } from './fleet/enroll.ts';
import { type EnrollmentState, printEnrollment } from './fleet/enrollment-state.ts';
import { type Identity, identityFolder, readIdentity } from './fleet/identity.ts';
import { type OrderState, openOrderState } from './fleet/order-state.ts';
import { type CloudSession, openCloudSession } from './fleet/session.ts';
import { lockFolder } from './folder-lock.ts';
import type { CloudStatus } from './main/doors.ts';
import { openGatewaySecurity, showsMqttTls } from './main/entrance.ts';
import { type KeptGateway, keepOpen } from './main/keep-open.ts';
import { notedOrders } from './main/noted-orders.ts';
import { startWaitingServer } from './main/waiting.ts';
import type { Security } from './security/open-security.ts';

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
    ...(showsMqttTls(given) && {
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
  const recent = recentLines((line) => process.stderr.write(`${line}\n`));
  const logger = createLogger(given.logLevel, recent.write).with({ part: 'gateway' });
  await using stack = new AsyncDisposableStack();
  stack.use(lockFolder(given.dataDir));
  const security = stack.use(await openGatewaySecurity(given, logger));
  const identity = await identityOf(given, security, logger, stopping);
  const gateway =
    identity === undefined
      ? stack.use(await keepOpen(given, logger, security, { session: undefined, status: () => undefined }))
      : await openEnrolled(given, identity, logger, security, recent.lines, stack);
  const open = stack.move();
  return { ready: gateway.ready, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

/** Who this gateway is; enrolls first where it has a cloud and no identity. Undefined: as its settings say. */
async function identityOf(
  config: GatewayConfig,
  security: Security,
  logger: Logger,
  stopping: AbortSignal,
): Promise<Identity | undefined> {
  const known = readIdentity(identityFolder(config.dataDir));
  const { cloud } = config;
  if (known === undefined && cloud.claim === '' && cloud.url === '') return undefined;
  const announce = announcements(placesUnder('/'));
  const identity = known ?? (await enrollNow(config, security, logger, stopping, announce));
  const { url, tenant, site, gateway } = identity;
  announce?.({ kind: 'enrolled', url, tenant, site, gateway });
  return identity;
}

/** What it is waited for, it says on its page, on its terminal, and on the consoles of an appliance. */
async function enrollNow(
  config: GatewayConfig,
  { tls: files }: Security,
  logger: Logger,
  stopping: AbortSignal,
  announce: ((state: EnrollmentState) => void) | undefined,
): Promise<Identity> {
  const { dataDir, cloud, proxy, listen, http } = config;
  let state: EnrollmentState | undefined;
  const tls = files && openServerTls(files, logger);
  await using _page = await startWaitingServer({ host: listen.host, port: http.port, tls }, () => state);
  const say = (next: EnrollmentState): void => {
    state = next;
    announce?.(next);
    if (process.stdout.isTTY) process.stdout.write(`\n${printEnrollment(next)}\n`);
  };
  const named = {
    gateway: config.gateway === idByDefault ? undefined : config.gateway,
    tenant: config.tenant === tenantByDefault ? undefined : config.tenant,
  };
  const options = { dataDir, cloud: { ...cloud, proxy }, claim: cloud.claim, pin: cloud.pin, ...named };
  const { keyStore } = config.identity;
  const identity = await enrollPatiently({ ...options, keyStore, clock: systemClock, logger, say }, stopping);
  const { url, tenant, site, gateway } = identity;
  logger.info('enrolled', { url, tenant, site, gateway });
  return identity;
}

/** A gateway of a cloud: with the settings that it has given, and in touch with it. */
async function openEnrolled(
  given: GatewayConfig,
  identity: Identity,
  logger: Logger,
  security: Security,
  lines: () => readonly string[],
  stack: AsyncDisposableStack,
): Promise<KeptGateway> {
  const { tenant, site, gateway: id } = identity;
  const config = { ...given, tenant, site, gateway: id };
  const session = openCloud(given, identity, logger, stack);
  const state = openOrderState(identityFolder(given.dataDir), logger);
  let agent: Agent | undefined;
  const { noted, notedUpdates } = notedOrders(security.audit);
  const updates = firmwareUpdates(placesUnder('/'));
  const firmware = updates && notedUpdates(updates);
  const status = (): CloudStatus | undefined =>
    agent && { ...agent.status, config: state.said, firmware: firmware?.said() };
  const cloud = { session, status };
  const gateway = stack.use(await keepOpen(configured(config, state, logger), logger, security, cloud));
  const reopen = (settings: Readonly<Record<string, unknown>>): Promise<void> =>
    noted('apply settings', Object.keys(settings).join(', '), () =>
      gateway.reopen(withCloudSettings(config, settings)),
    );
  agent = stack.use(
    startAgent({
      ...{ session, state, report: gateway.report, clock: systemClock, logger },
      trialMsMax: given.cloud.trialSeconds * 1000,
      firmware,
      settings: {
        check: (settings) => void withCloudSettings(config, settings),
        run: reopen,
        isHealthy: gateway.isHealthy,
      },
      commands: {
        restart: () =>
          noted('command', 'restart', () =>
            reopen((state.trial ?? state.running).settings).then(() => 'opened again'),
          ),
        logs: () => noted('command', 'logs', async () => lines().join('\n')),
        'rotate-key': () =>
          noted('command', 'rotate-key', () => session.rotateKey().then(() => 'the key is another')),
        diagnostic: () =>
          noted('command', 'diagnostic', async () => JSON.stringify(gateway.diagnostic(), null, 2)),
      },
    }),
  );
  return gateway;
}

/** With the settings of the cloud, if this version takes them: another has. */
function configured(config: GatewayConfig, { running }: OrderState, logger: Logger): GatewayConfig {
  try {
    return withCloudSettings(config, running.settings);
  } catch (error) {
    logger.error('settings of the cloud do not count any more', { error: messageOf(error) });
    return config;
  }
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
