import { isLabelRefusal } from '../../label-limits.ts';
import type { LogStreams } from '../../logs/streams.ts';
import type { LogsBuilder } from '../../logs-builder.ts';
import type { MetricsBuilder } from '../../metrics-builder.ts';
import type { SeriesCache } from '../../series-cache.ts';
import { isSeriesRefusal } from '../../series-guard.ts';
import { PayloadError } from '../codecs/payload-error.ts';
import { type OwnTime, rowTime } from '../device-time.ts';
import type { MqttLimits, MqttMessage } from '../mapper.ts';
import type { DeadLetterReason } from '../payload.ts';
import type { About, Reading, TopicReader, TopicRule } from './reading.ts';

/** Prometheus' staleness marker. */
const staleLow = 2;
const staleHigh = 0x7ff00000;

/** Finds the rule of a message, and puts what it reads into columns. */
export function createRuleMapper(options: {
  readonly rules: readonly TopicRule[];
  readonly cache: SeriesCache;
  readonly streams: LogStreams;
  readonly limits: MqttLimits;
  readonly ownTime: () => OwnTime;
}) {
  const { rules, limits } = options;
  const readers = new Map<string, TopicReader | undefined>();
  const readerOf = (topic: string): TopicReader | undefined => {
    if (rules.length === 0) return undefined;
    const known = readers.get(topic);
    if (known !== undefined || readers.has(topic)) return known;
    if (readers.size >= limits.topicsCachedMax) readers.clear();
    const levels = topic.split('/');
    let reader: TopicReader | undefined;
    for (let index = 0; reader === undefined && index < rules.length; index++)
      reader = rules[index]?.match(topic, levels);
    readers.set(topic, reader);
    return reader;
  };
  const read = (reader: TopicReader, message: MqttMessage): readonly Reading[] | DeadLetterReason => {
    try {
      return reader.read(message.payload, message.receivedUs);
    } catch (error) {
      if (error instanceof PayloadError) return error.reason;
      throw error;
    } finally {
      if (reader.learns) readers.clear();
    }
  };
  const storeReading = createStore(options);
  return {
    readerOf,
    /** All of the message or, but for what `tryToStore` tells, none of it; the reason why it has to be set aside. */
    store: (
      reader: TopicReader,
      message: MqttMessage,
      metrics: MetricsBuilder,
      logs: LogsBuilder,
    ): 'stored' | 'ignored' | DeadLetterReason => {
      const readings = read(reader, message);
      if (typeof readings === 'string') return readings;
      const before = metrics.rows + logs.rows;
      let wrong: DeadLetterReason | undefined;
      for (const reading of readings)
        if (!message.old || reading.timestampUs !== undefined)
          wrong = tryToStore(() => storeReading(reading, message.receivedUs, metrics, logs)) ?? wrong;
      return wrong ?? (metrics.rows + logs.rows === before ? 'ignored' : 'stored');
    },
  };
}

function createStore({ cache, streams, limits, ownTime }: Parameters<typeof createRuleMapper>[0]) {
  const futureUsMax = limits.futureMsMax * 1000;
  const described = new Set<string>();
  const describe = ({ name, type, unit, help }: About, metrics: MetricsBuilder): void => {
    const key = JSON.stringify([name, type, unit, help]);
    if (described.has(key)) return;
    if (described.size >= limits.topicsCachedMax) described.clear();
    described.add(key);
    metrics.describe({ name, type, unit, help });
  };
  return (reading: Reading, receivedUs: number, metrics: MetricsBuilder, logs: LogsBuilder): void => {
    const { timestampUs, doubt } = rowTime(reading.timestampUs, receivedUs, ownTime(), futureUsMax);
    if (reading.kind === 'line') {
      const { line, severity } = reading;
      const record = { timestampNs: BigInt(timestampUs) * 1000n, line, severity };
      const stream = streams.ofKey(reading.key, reading.labels);
      logs.append(stream, doubt === undefined ? record : { ...record, doubt });
      return;
    }
    const series = cache.ofKey(reading.key, reading.labels);
    if (reading.stale) metrics.appendBits(series, timestampUs, staleLow, staleHigh);
    else {
      if (reading.about !== undefined) describe(reading.about, metrics);
      metrics.append(series, timestampUs, reading.value, doubt);
    }
  };
}

/**
 * MQTT has no answer for a series too many, and the guard counts it: other values of the message go on. So they do when
 * labels are beyond their limits; that is returned, for the message to be set aside, too.
 */
export function tryToStore(work: () => void): DeadLetterReason | undefined {
  try {
    work();
  } catch (error) {
    return reasonOf(error);
  }
  return undefined;
}

/** Why something was not stored; undefined: it was one series too many. Throws what is neither. */
export function reasonOf(error: unknown): DeadLetterReason | undefined {
  if (isLabelRefusal(error)) return 'labels-too-large';
  if (isSeriesRefusal(error)) return undefined;
  throw error;
}
