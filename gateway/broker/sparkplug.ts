import { join } from 'node:path';
import type { Aedes } from 'aedes';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { mqttLimits } from '../../lake/receive/mqtt/mapper.ts';
import type { TopicRule } from '../../lake/receive/mqtt/rules/reading.ts';
import { noBirthStore } from '../../lake/receive/sparkplug/edge-nodes.ts';
import { sparkplugHost, sparkplugLimits } from '../../lake/receive/sparkplug/host.ts';
import { rebirthCommand } from '../../lake/receive/sparkplug/payload.ts';
import { openSparkplugStore } from './sparkplug-store.ts';

const denialMs = 50;

export interface SparkplugSettings {
  /** '': it is no primary host, and publishes no STATE. */
  readonly hostId: string;
  readonly rebirthIntervalMs: number;
}

/** The Sparkplug host application inside of the broker. */
export interface Sparkplug extends Disposable {
  readonly rule: TopicRule;
  /** To be called when the broker listens. */
  online(aedes: Aedes): Promise<void>;
  /** Publishes that the host goes; to be called before the broker closes. */
  offline(): Promise<void>;
  readonly counts: { rebirths: number };
}

export function openSparkplug(
  { hostId, rebirthIntervalMs }: SparkplugSettings,
  {
    dataDir,
    clock,
    logger,
  }: { readonly dataDir?: string | undefined; readonly clock: Clock; readonly logger: Logger },
): Sparkplug {
  const store = dataDir === undefined ? undefined : openSparkplugStore(join(dataDir, 'sparkplug.db'), logger);
  const counts = { rebirths: 0 };
  let broker: Aedes | undefined;
  const publish = (topic: string, payload: Uint8Array | string, state: boolean): Promise<void> =>
    new Promise((resolve) => {
      const packet = { cmd: 'publish', topic, payload: Buffer.from(payload), dup: false } as const;
      // STATE: QoS 1 and retained; NCMD: QoS 0 and not retained
      broker?.publish({ ...packet, qos: state ? 1 : 0, retain: state }, () => resolve());
      if (broker === undefined) resolve();
    });
  const stateTopic = `spBv1.0/STATE/${hostId}`;
  const publishState = (online: boolean): Promise<void> =>
    publish(stateTopic, JSON.stringify({ online, timestamp: Math.round(clock.nowMs()) }), true);
  const rule = sparkplugHost({
    ...{ ...sparkplugLimits, rebirthIntervalMs, valuesPerPayloadMax: mqttLimits.valuesPerPayloadMax },
    store: store ?? noBirthStore,
    askRebirth: (group, edgeNode, why) => {
      counts.rebirths++;
      logger.info('a Sparkplug edge node is asked for its births', { group, edgeNode, why });
      void publish(`spBv1.0/${group}/NCMD/${edgeNode}`, rebirthCommand(Math.round(clock.nowMs())), false);
    },
  });
  return {
    ...{ rule, counts },
    online: async (aedes) => {
      broker = aedes;
      if (hostId === '') return;
      await publishState(true);
      // Someone else says that this host is offline: it is not.
      const denied: Parameters<Aedes['subscribe']>[1] = (packet, done) => {
        // After that message is kept and delivered.
        if ('clientId' in packet) setTimeout(() => void publishState(true), denialMs).unref();
        done();
      };
      aedes.subscribe(stateTopic, denied, () => undefined);
    },
    offline: async () => {
      if (hostId !== '') await publishState(false);
      broker = undefined;
    },
    [Symbol.dispose]: () => store?.[Symbol.dispose](),
  };
}
