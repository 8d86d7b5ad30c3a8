import { isUtf8 } from 'node:buffer';
import { canonicalLabels, type Labels } from '../../model/labels.ts';
import type { LogsBuilder } from '../logs-builder.ts';
import type { MetricsBuilder } from '../metrics-builder.ts';
import type { SeriesCache } from '../series-cache.ts';
import { type OwnTime, rowTime } from './device-time.ts';
import { type DeadLetterReason, type PayloadItem, type PayloadLimits, parsePayload } from './payload.ts';
import { metricName, type TopicRule } from './rules/reading.ts';
import { createRuleMapper, unlessRefused } from './rules/rule-mapper.ts';
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

/** What became of a message. Its rows are in the builders, all of them or, when it is `ignored`, none. */
export type MqttOutcome = 'ignored' | 'stored' | 'dead-letter';

export interface MqttMapper {
  map(message: MqttMessage, metrics: MetricsBuilder, logs: LogsBuilder): MqttOutcome;
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
  const byRules = createRuleMapper({ rules, cache, limits, ownTime });
  const store = createStore(cache, options.templates, limits, ownTime);
  const setAside = (
    { topic, payload, receivedUs }: MqttMessage,
    reason: DeadLetterReason,
    logs: LogsBuilder,
  ): void => {
    const stream = cache.ofKey(keyOf('d', topic, reason), () =>
      canonicalLabels([
        ['source', 'mqtt'],
        ['stream', 'dead-letter'],
        ['reason', reason],
        ['topic', topic],
      ]),
    );
    const line = printable(payload, limits.deadLetterBytesMax);
    logs.append(stream, { timestampNs: BigInt(receivedUs) * 1000n, line });
  };

  const map: MqttMapper['map'] = (message, metrics, logs) => {
    if (message.topic.startsWith('$SYS/')) return 'ignored';
    const reader = byRules.readerOf(message.topic);
    if (reader !== undefined) {
      const reason = byRules.store(reader, message, metrics, logs);
      if (reason === 'stored' || reason === 'ignored') return reason;
      unlessRefused(() => setAside(message, reason, logs));
      return 'dead-letter';
    }
    const parsed = parsePayload(message.payload, limits);
    if (!parsed.ok) {
      const { reason } = parsed;
      unlessRefused(() => setAside(message, reason, logs));
      return 'dead-letter';
    }
    const items = message.old ? parsed.items.filter((item) => item.timestampUs !== undefined) : parsed.items;
    for (const item of items) unlessRefused(() => store(item, message, metrics, logs));
    return items.length === 0 ? 'ignored' : 'stored';
  };
  return { map, ruleOf: (topic) => byRules.readerOf(topic)?.rule };
}

// The topic's length keeps topic and path apart in the key.
const keyOf = (kind: 'm' | 'l' | 'd', topic: string, path: string): string =>
  `${kind}${topic.length} ${topic}${path}`;

/** Puts one item of a message into columns, by the templates. */
function createStore(
  cache: SeriesCache,
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
  return (item: PayloadItem, message: MqttMessage, metrics: MetricsBuilder, logs: LogsBuilder): void => {
    const { topic } = message;
    const futureUsMax = limits.futureMsMax * 1000;
    const { timestampUs, doubt } = rowTime(item.timestampUs, message.receivedUs, ownTime(), futureUsMax);
    if (item.kind === 'value') {
      const series = cache.ofKey(keyOf('m', topic, item.path), () =>
        metricLabels(topic, mappingOf(topic), item.path),
      );
      metrics.append(series, timestampUs, item.value, doubt);
    } else {
      const stream = cache.ofKey(keyOf('l', topic, ''), () =>
        canonicalLabels([['source', 'mqtt'], ...mappingOf(topic).labels, ['topic', topic]]),
      );
      const record = { timestampNs: BigInt(timestampUs) * 1000n, line: item.line };
      logs.append(stream, doubt === undefined ? record : { ...record, doubt });
    }
  };
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
