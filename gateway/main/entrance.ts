import { readFileSync } from 'node:fs';
import { firnVersion } from '../../lake/api/build-info.ts';
import { systemClock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { createLoginAttempts, type LoginAttempts } from '../../lake/base/login-attempts.ts';
import { openServerTls, type ServerTls } from '../../lake/base/server-tls.ts';
import { isLoopback, isOwn } from '../../lake/base/settings.ts';
import { knowsByCertificate } from '../broker/settings.ts';
import { type GatewayConfig, gatewaySettings } from '../config.ts';
import { identityFolder } from '../fleet/identity.ts';
import { notedAttempts } from '../security/audit.ts';
import { closedGate, type Gate, openGate } from '../security/gate.ts';
import { openSecurity, type Security } from '../security/open-security.ts';
import { checkModes } from '../security/secret-modes.ts';

// How the settings decide who is let in where.

/** Whether others can reach HTTP, OTLP and SQL, and whether they have to say who they are. */
export function doorsOf({ listen, mqtt }: GatewayConfig) {
  const isReachable = !isLoopback(listen.host);
  const mqttIsReachable = !isLoopback(mqtt.host || listen.host);
  return {
    isReachable,
    mqttIsReachable,
    needsLogin: isReachable && !listen.open,
    /** Clients of MQTT that say nothing of themselves may come. */
    mqttIsOpen: !mqttIsReachable || listen.open,
  };
}

/** Whether the broker listens with TLS, too. */
export const showsMqttTls = (config: GatewayConfig): boolean =>
  config.mqtt.tls.certFile !== '' || config.tls.certFile !== '' || doorsOf(config).mqttIsReachable;

/** Opens users, certificate and audit log; refuses files with secrets that everybody can read. */
export async function openGatewaySecurity(config: GatewayConfig, logger: Logger): Promise<Security> {
  const { dataDir, gateway, users, tls, mqtt, pgwire } = config;
  checkModes({
    'tls.keyFile': tls.keyFile,
    'mqtt.tls.keyFile': mqtt.tls.keyFile,
    'pgwire.keyFile': pgwire.keyFile,
    'mqtt.usersFile': mqtt.usersFile,
    ...Object.fromEntries(
      mqtt.bridges.flatMap(({ name, passwordFile, keyFile }) => [
        [`mqtt.bridges.${name}.passwordFile`, passwordFile],
        [`mqtt.bridges.${name}.keyFile`, keyFile],
      ]),
    ),
  });
  const { isReachable, mqttIsReachable, needsLogin, mqttIsOpen } = doorsOf(config);
  const mqttNeedsUsers = !mqttIsOpen && !mqtt.anonymous && mqtt.usersFile === '' && !knowsByCertificate(mqtt);
  const security = await openSecurity({
    ...{ dataDir, gateway, users, tls, clock: systemClock, logger },
    isReachable: isReachable || mqttIsReachable,
    needsUsers: needsLogin || mqttNeedsUsers,
    secretFolders: [identityFolder(dataDir)],
  });
  security.audit.note({
    ...{ actor: 'gateway', address: '', action: 'start', subject: firnVersion, result: 'done' },
    detail: { settings: changedSettings(config) },
  });
  return security;
}

/** Names of settings that are not as they are by default; never what they are. */
function changedSettings(config: GatewayConfig): string[] {
  const valueAt = (path: string): unknown =>
    path
      .split('.')
      .reduce<unknown>((tree, name) => (tree as Record<string, unknown> | undefined)?.[name], config);
  return gatewaySettings
    .filter(({ path, default: usual }) => JSON.stringify(valueAt(path)) !== JSON.stringify(usual))
    .map(({ path }) => path);
}

/** What stands before the listeners that all bind `listen.host`. */
export interface Entrance {
  readonly gate: Gate;
  /** Who has failed too often, at every door together; for a door that counts by itself. */
  attemptsAt(door: string): LoginAttempts;
  /** Undefined: plain only. */
  readonly tls: (() => ServerTls) | undefined;
  /** Whether a client from an address is refused without TLS. */
  requiresTls(address: string): boolean;
  readonly needsLogin: boolean;
  /** The authority that clients are to believe, PEM. */
  ca(): string | undefined;
}

export function openEntrance(config: GatewayConfig, security: Security, logger: Logger): Entrance {
  const { login, tls, pgwire } = config;
  const { isReachable, needsLogin } = doorsOf(config);
  const { prove, audit, caFile } = security;
  const attempts = createLoginAttempts(login, systemClock, (address, actor) => {
    logger.warn('too many failed logins; more are refused for a while', { address, user: actor });
    audit.noteRefusal({ actor, address, action: 'log in, failed too often', subject: 'login' });
  });
  const attemptsAt = (door: string): LoginAttempts => notedAttempts(attempts, audit, door);
  const certificate = isReachable || tls.certFile !== '' ? security.tls : undefined;
  return {
    gate: needsLogin
      ? closedGate({ prove, attempts: attemptsAt('http'), audit, requireTls: tls.require })
      : openGate,
    attemptsAt,
    tls: certificate && openServerTls(certificate, logger),
    requiresTls: (address) => pgwire.requireTls || (needsLogin && tls.require && !isOwn(address)),
    needsLogin,
    ca: () => (caFile === undefined ? undefined : readFileSync(caFile, 'utf8')),
  };
}
