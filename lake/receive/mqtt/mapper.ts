import { isUtf8 } from 'node:buffer';
import { canonicalLabels, type Labels } from '../../model/labels.ts';
import { deviceStreams, type LogStreams } from '../logs/streams.ts';
import type { LogsBuilder } from '../logs-builder.ts';
import type { MetricsBuilder } from '../metrics-builder.ts';
import type { SeriesCache } from '../series-cache.ts';
import { type OwnTime, rowTime } from './device-time.ts';
import {
  createFamiliarReader,
  type FamiliarReader,
  type Member,
  membersMax,
  readFamiliar,
} from './familiar-payload.ts';
import { createKnownTopics, type KnownTopic } from './known-topics.ts';
import { type DeadLetterReason, type PayloadItem, type PayloadLimits, parsePayload } from './payload.ts';
import { metricName, type TopicRule } from './rules/reading.ts';
import { createRuleMapper, reasonOf, tryToStore } from './rules/rule-mapper.ts';
import { lastLevel } from './rules/text-template.ts';
import { compileTemplates, type TopicMapping, type TopicTemplate } from './templates.ts';

// README.md describes the mapping.

export interface MqttMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** When it was received, microseconds since the Unix epoch. */
  readonly receivedUs: number;
  /**
   * It is a retained message that a subscription began with: it may be old. What has no time of its own is left out then,
   * because the time of its receipt says nothing; it is only learned from.
   */
  readonly old?: boolean;
}

/** A message whose payload is where it was received. */
interface PayloadPlace {
  readonly topic: KnownTopic;
  readonly bytes: Buffer;
  readonly start: number;
  readonly end: number;
  readonly receivedUs: number;
}

/** What became of a message. Its rows are in the builders, all of them or, when it is `ignored`, none. */
export type MqttOutcome = 'ignored' | 'stored' | 'dead-letter';

export interface MqttMapper {
  map(message: MqttMessage, metrics: MetricsBuilder, logs: LogsBuilder): MqttOutcome;
  /** What is remembered of the topic whose name is bytes[start, end). */
  topicAt(bytes: Uint8Array, start: number, end: number): KnownTopic;
  /** `map` for the message whose payload is bytes[start, end): the same rows, for less. */
  mapBytes(place: PayloadPlace, metrics: MetricsBuilder, logs: LogsBuilder): MqttOutcome;
  /** The rule that reads a topic; undefined: the mapping that needs none. */
  ruleOf(topic: string): string | undefined;
}

export interface MqttLimits extends PayloadLimits {
  /** Bytes of a payload that are kept in the dead-letter stream. */
  readonly deadLetterBytesMax: number;
  /** Topics whose mapping is remembered. */
  readonly topicsCachedMax: number;
  /** A device's time that is so much later than the receipt is not believed. */
  readonly futureMsMax: number;
}

export const mqttLimits: MqttLimits = {
  payloadBytesMax: 1024 * 1024,
  jsonDepthMax: 16,
  valuesPerPayloadMax: 10_000,
  metricNameBytesMax: 1024,
  deadLetterBytesMax: 16 * 1024,
  topicsCachedMax: 50_000,
  futureMsMax: 3_600_000,
};

const rightTime: OwnTime = { trusted: true, floorUs: 0 };

/** Throws FirnError `invalid` when a template is wrong. */
export function createMqttMapper(options: {
  readonly cache: SeriesCache;
  readonly templates: readonly TopicTemplate[];
  /** Asked in their order; what none of them matches is mapped as README.md says. */
  readonly rules?: readonly TopicRule[];
  readonly limits?: Partial<MqttLimits>;
  /** Right when absent. */
  readonly ownTime?: () => OwnTime;
}): MqttMapper {
  const { cache, ownTime = () => rightTime, rules = [] } = options;
  const limits = { ...mqttLimits, ...options.limits };
  const streams = deviceStreams(cache);
  const byRules = createRuleMapper({ rules, cache, streams, limits, ownTime });
  const store = createStore(cache, streams, options.templates, limits, ownTime);
  const setAside = createSetAside(streams, limits);

  const map: MqttMapper['map'] = (message, metrics, logs) => {
    if (message.topic.startsWith('$SYS/')) return 'ignored';
    const reader = byRules.readerOf(message.topic);
    if (reader !== undefined) {
      const reason = byRules.store(reader, message, metrics, logs);
      return reason === 'stored' || reason === 'ignored' ? reason : setAside(message, reason, logs);
    }
    const parsed = parsePayload(message.payload, limits);
    if (!parsed.ok) return setAside(message, parsed.reason, logs);
    const items = message.old ? parsed.items.filter((item) => item.timestampUs !== undefined) : parsed.items;
    let wrong: DeadLetterReason | undefined;
    for (const item of items) wrong = tryToStore(() => store.item(item, message, metrics, logs)) ?? wrong;
    if (wrong !== undefined) return setAside(message, wrong, logs);
    return items.length === 0 ? 'ignored' : 'stored';
  };
  const reader = createFamiliarReader(limits);
  const topicAt = createKnownTopics(
    { topicsMax: limits.topicsCachedMax, nameBytesMax: topicNameBytesMax },
    () => {
      if (reader.learned < membersMax) return false;
      reader.learned = 0;
      return true;
    },
  );
  const mapBytes: MqttMapper['mapBytes'] = ({ topic, bytes, start, end, receivedUs }, metrics, logs) => {
    const byRule = topic.name.startsWith('$SYS/') || byRules.readerOf(topic.name) !== undefined;
    const mayBe = !byRule && end - start <= limits.payloadBytesMax;
    const isFamiliar = mayBe && readFamiliar(reader, topic.root, bytes, start, end) > 0;
    const wrong = isFamiliar ? store.values(reader, topic.name, receivedUs, metrics) : undefined;
    if (isFamiliar && wrong === undefined) return 'stored';
    const message = { topic: topic.name, payload: bytes.subarray(start, end), receivedUs };
    return wrong === undefined ? map(message, metrics, logs) : setAside(message, wrong, logs);
  };
  return { map, topicAt, mapBytes, ruleOf: (topic) => byRules.readerOf(topic)?.rule };
}

/** Names of topics that are remembered, all together. */
const topicNameBytesMax = 8 * 1024 * 1024;

// The topic's length keeps topic and path apart in the key.
const keyOf = (kind: 'm' | 'l' | 'd', topic: string, path: string): string =>
  `${kind}${topic.length} ${topic}${path}`;

/** Keeps the start of a message that can't be mapped. */
function createSetAside(streams: LogStreams, { deadLetterBytesMax }: MqttLimits) {
  const append = (message: MqttMessage, reason: DeadLetterReason, topic: string, logs: LogsBuilder): void => {
    const stream = streams.ofKey(keyOf('d', topic, reason), () =>
      canonicalLabels([
        ['source', 'mqtt'],
        ['stream', 'dead-letter'],
        ['reason', reason],
        ...(topic === '' ? [] : [['topic', topic] as const]),
      ]),
    );
    const line = printable(message.payload, deadLetterBytesMax);
    logs.append(stream, { timestampNs: BigInt(message.receivedUs) * 1000n, line });
  };
  return (message: MqttMessage, reason: DeadLetterReason, logs: LogsBuilder): 'dead-letter' => {
    const wrong = tryToStore(() => append(message, reason, message.topic, logs));
    // It may be the topic that is too long for a label.
    if (wrong !== undefined) tryToStore(() => append(message, reason, '', logs));
    return 'dead-letter';
  };
}

/** Puts what is in a message into columns, by the templates. */
function createStore(
  cache: SeriesCache,
  streams: LogStreams,
  templates: readonly TopicTemplate[],
  limits: MqttLimits,
  ownTime: () => OwnTime,
) {
  const match = compileTemplates(templates);
  const mappings = new Map<string, TopicMapping>();
  const mappingOf = (topic: string): TopicMapping => {
    const known = mappings.get(topic);
    if (known !== undefined) return known;
    if (mappings.size >= limits.topicsCachedMax) mappings.clear();
    const mapping = match(topic);
    mappings.set(topic, mapping);
    return mapping;
  };
  const futureUsMax = limits.futureMsMax * 1000;
  const labelsOf = (topic: string, path: string): Labels => metricLabels(topic, mappingOf(topic), path);
  const item = (
    item: PayloadItem,
    message: MqttMessage,
    metrics: MetricsBuilder,
    logs: LogsBuilder,
  ): void => {
    const { topic } = message;
    const { timestampUs, doubt } = rowTime(item.timestampUs, message.receivedUs, ownTime(), futureUsMax);
    if (item.kind === 'value') {
      const series = cache.ofKey(keyOf('m', topic, item.path), () => labelsOf(topic, item.path));
      metrics.append(series, timestampUs, item.value, doubt);
    } else {
      const stream = streams.ofKey(keyOf('l', topic, ''), () =>
        canonicalLabels([['source', 'mqtt'], ...mappingOf(topic).labels, ['topic', topic]]),
      );
      const record = { timestampNs: BigInt(timestampUs) * 1000n, line: item.line };
      logs.append(stream, doubt === undefined ? record : { ...record, doubt });
    }
  };
  const seriesOf = (member: Member, topic: string): NonNullable<Member['series']> => {
    const { path } = member;
    member.series ??= { key: keyOf('m', topic, path), labels: () => labelsOf(topic, path) };
    return member.series;
  };
  /** Of the payload that was read last. */
  const values = (
    { count, members, values, timestampUs: deviceUs }: FamiliarReader,
    topic: string,
    receivedUs: number,
    metrics: MetricsBuilder,
  ): DeadLetterReason | undefined => {
    const { timestampUs, doubt } = rowTime(deviceUs, receivedUs, ownTime(), futureUsMax);
    let wrong: DeadLetterReason | undefined;
    for (let index = 0; index < count; index++) {
      const member = members[index];
      if (member === undefined) continue;
      const { key, labels } = seriesOf(member, topic);
      try {
        metrics.append(cache.ofKey(key, labels), timestampUs, values[index] ?? 0, doubt);
      } catch (error) {
        wrong = reasonOf(error) ?? wrong;
      }
    }
    return wrong;
  };
  return { item, values };
}

function metricLabels(topic: string, mapping: TopicMapping, path: string): Labels {
  const base = mapping.metric ?? (path === '' ? lastLevel(topic) : undefined);
  const name = base === undefined ? path : path === '' ? base : `${base}_${path}`;
  return canonicalLabels([...mapping.labels, ['topic', topic], ['__name__', metricName(name)]]);
}

/** The start of a payload as text, or as base64 when it is not text. */
function printable(payload: Uint8Array, bytesMax: number): string {
  const isInside = (at: number): boolean => at < payload.length && ((payload[at] ?? 0) & 0xc0) === 0x80;
  let end = Math.min(payload.length, bytesMax);
  // Not in the middle of a character, which has at most three continuation bytes.
  for (let step = 0; step < 3 && isInside(end); step++) end--;
  const start = payload.subarray(0, end);
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  return isUtf8(bytes) && !bytes.includes(0) ? bytes.toString('utf8') : bytes.toString('base64');
}
