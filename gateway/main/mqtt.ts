import { firnVersion } from '../../lake/api/build-info.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Gap } from '../../lake/model/gap.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import { type Bridge, startBridge } from '../bridge/bridge.ts';
import type { OtherUsers } from '../broker/access/access.ts';
import { type Broker, type BrokerOptions, startBroker } from '../broker/broker.ts';
import { openRules } from '../broker/rules-file.ts';
import { letsAnonymousIn } from '../broker/settings.ts';
import type { GatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import type { Security } from '../security/open-security.ts';
import { mayAct } from '../security/roles.ts';
import { doorsOf, type Entrance, showsMqttTls } from './entrance.ts';
import type { Storage } from './storage.ts';

interface BrokerParts extends Pick<Storage, 'disk' | 'gaps'> {
  readonly security: Security;
  readonly entrance: Entrance;
}

/** The MQTT broker, as the configuration wants it. */
export async function openBroker(
  config: GatewayConfig,
  { clock, ownTime }: GatewayClock,
  logger: Logger,
  { disk, gaps, security, entrance }: BrokerParts,
  cache: SeriesCache,
): Promise<Broker> {
  const { mqttIsOpen } = doorsOf(config);
  const anonymous = letsAnonymousIn(config.mqtt, mqttIsOpen);
  const { tls, usersFile, aclFile, host, persistence, rules, rulesFile, sparkplug, ...mqtt } = config.mqtt;
  return startBroker({
    ...mqtt,
    ...{ append: disk.append, cache, clock, logger, ownTime, version: firnVersion },
    rules: openRules(rules, rulesFile),
    ...(sparkplug.enabled && { sparkplug }),
    host: host || config.listen.host,
    ...tlsOf(config, security),
    ...(persistence && { dataDir: config.dataDir }),
    access: {
      ...{ usersFile, aclFile, anonymous },
      // Where everybody may come as nobody, a name is nobody's, unless a file says otherwise.
      others: anonymous && usersFile === '' ? undefined : localUsers(security),
      certificateUser: tls.clientCertificates === 'none' ? 'none' : tls.certificateUser,
    },
    logins: entrance.attemptsAt('mqtt'),
    onDropped: (receivedUs) => gaps.record(droppedGap(receivedUs)),
  });
}

/** The broker's own certificate, or the one of all listeners, where others can reach it. */
function tlsOf(config: GatewayConfig, { tls: shared }: Security): Pick<BrokerOptions, 'tls'> {
  const { tls } = config.mqtt;
  if (!showsMqttTls(config)) return {};
  return { tls: tls.certFile === '' ? { ...tls, ...shared } : tls };
}

/** Who may send publishes, who may read subscribes. */
const localUsers = ({ prove, users }: Security): OtherUsers => ({
  prove: async (name, password) => {
    const known = await prove(name, password);
    if (known === undefined) return undefined;
    const may = { read: mayAct(known.roles, 'read'), write: mayAct(known.roles, 'ingest') };
    return { stored: known.stored, may };
  },
  storedOf: (name) => users.find(name)?.stored,
  onChange: users.onChange,
});

/** Bridges to external brokers; a closed broker takes nothing of theirs, so they are closed before it. */
export function openBridges(
  { mqtt: { bridges }, gateway }: GatewayConfig,
  { clock }: GatewayClock,
  logger: Logger,
  broker: Broker,
  stack: AsyncDisposableStack,
): readonly Bridge[] {
  return bridges.map((settings) =>
    stack.use(
      startBridge({
        ...{ settings, store: broker.store, clock, logger },
        defaultClientId: `firn-${gateway}-${settings.name}`,
      }),
    ),
  );
}

/** MQTT messages with QoS 0, for which there was no room; of one moment. */
const droppedGap = (receivedUs: number): Gap => ({
  ...{ signal: 'metrics', class: 'metrics', kind: 'gap', reason: 'mqtt-dropped', rows: null },
  ...{ fromUs: receivedUs, toUs: receivedUs, detail: 'QoS 0 messages for which there was no room' },
});

/** What the broker counts, as health metrics and for the status page. */
export function brokerCounters(broker: Broker, bridges: readonly Bridge[]): Record<string, number> {
  const counts = broker.counters();
  return {
    mqtt_clients: counts.clients,
    mqtt_sessions: counts.sessions,
    mqtt_received_messages_total: counts.received,
    mqtt_sent_messages_total: counts.sent,
    mqtt_dead_letters_total: counts.deadLetters,
    mqtt_dropped_messages_total: counts.dropped,
    mqtt_undelivered_messages_total: counts.undelivered,
    mqtt_refused_messages_total: counts.refused,
    mqtt_denied_requests_total: counts.denied,
    mqtt_refused_logins_total: counts.refusedLogins,
    mqtt_retained_messages: counts.retained,
    mqtt_waiting_messages: counts.waiting,
    mqtt_sparkplug_rebirths_total: counts.rebirths,
    mqtt_persistence_failing: counts.persistenceFailing ? 1 : 0,
    mqtt_bridges: bridges.length,
    mqtt_bridges_connected: bridges.filter(({ status }) => status.connected).length,
    mqtt_bridge_received_messages_total: bridges.reduce((sum, { status }) => sum + status.received, 0),
  };
}
