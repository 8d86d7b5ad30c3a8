import { canonicalLabels, type Label } from '../../../model/labels.ts';
import type { Codec } from '../codecs/codec.ts';
import { PayloadError } from '../codecs/payload-error.ts';
import type { PayloadLimits } from '../payload.ts';
import type { JsonPath } from './json-path.ts';
import { type About, metricName, type Reading, type TopicReader } from './reading.ts';
import { lastLevel, type Subject, scalarText, type TextTemplate } from './text-template.ts';
import type { TimeReader } from './time-of.ts';

export interface CompiledTime {
  readonly path: JsonPath | undefined;
  /** Members of an item that are its time; without a path the first that is there is. */
  readonly names: readonly string[];
  readonly read: TimeReader;
}

interface CompiledLabels {
  readonly labels: readonly (readonly [string, TextTemplate])[];
  /** Names of the topic's levels, which are labels too. */
  readonly levels: readonly string[];
}

export interface CompiledMetric extends CompiledLabels {
  readonly value: JsonPath;
  readonly name: TextTemplate | undefined;
  readonly labelsFrom: JsonPath | undefined;
  readonly unit: TextTemplate | undefined;
  readonly type: string;
  readonly help: string;
  /** Words in lower case. */
  readonly map: ReadonlyMap<string, number>;
  readonly scale: number;
  readonly offset: number;
  readonly textAsLog: boolean;
  readonly skip: ReadonlySet<string>;
  readonly time: CompiledTime | undefined;
}

export interface CompiledLog extends CompiledLabels {
  readonly line: { readonly path: JsonPath } | { readonly text: TextTemplate };
  readonly severity: TextTemplate | undefined;
}

export interface CompiledRule {
  readonly rule: string;
  readonly codec: Codec;
  readonly limits: PayloadLimits;
  /** Without it the elements of an array, or all of what is none. */
  readonly items: readonly JsonPath[] | undefined;
  /** Without a node there the item is left out. */
  readonly when: JsonPath | undefined;
  readonly time: CompiledTime;
  readonly metrics: readonly CompiledMetric[];
  readonly logs: readonly CompiledLog[];
  readonly topicLabel: boolean;
  readonly emptyIsWrong: boolean;
}

/** A number with its unit as sensors print it. */
const quantity = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*([\p{L}%°µΩ][^\s\d]{0,15})?$/u;

/** Makes the reader of each topic that the rule matches. */
export function readerOf(rule: CompiledRule): (topic: string, levels: readonly string[]) => TopicReader {
  return (topic, levels) => ({
    rule: rule.rule,
    read: (payload, receivedUs) => {
      if (payload.length === 0) return [];
      const root = rule.codec(payload, receivedUs);
      const readings: Reading[] = [];
      const readItem = (item: unknown, keys: readonly string[]): void => {
        if (rule.when !== undefined && rule.when.first(item) === undefined) return;
        readMetrics(rule, { topic, levels, item, keys, path: '', unit: '' }, readings);
      };
      if (rule.items !== undefined) for (const items of rule.items) items.each(root, [], readItem);
      else if (Array.isArray(root)) for (const item of root) readItem(item, []);
      else readItem(root, []);
      if (readings.length === 0 && rule.emptyIsWrong) throw new PayloadError('no-value');
      return readings;
    },
  });
}

function readMetrics(rule: CompiledRule, subject: Subject, out: Reading[]): void {
  const itemUs = timeIn(rule.time, subject.item);
  rule.metrics.forEach((metric, index) => {
    const timestampUs = metric.time === undefined ? itemUs : timeIn(metric.time, subject.item);
    const at: Place = { rule, metric, index, timestampUs, out };
    metric.value.each(subject.item, subject.keys, (node, keys) => {
      if (keys.length > subject.keys.length && metric.skip.has(keys.at(-1) ?? '')) return;
      readNode(at, { ...subject, keys }, node, 0);
    });
  });
  rule.logs.forEach((log, index) => {
    const line = lineOf(log, subject);
    if (line !== '') pushLine(rule, log, index, subject, { line, timestampUs: itemUs }, out);
  });
}

function timeIn({ path, names, read }: CompiledTime, item: unknown): number | undefined {
  const value = path === undefined ? memberOf(item, names) : path.first(item);
  if (value === undefined || value === null) return undefined;
  const us = read(value);
  if (us === undefined) throw new PayloadError('bad-timestamp');
  return us;
}

function memberOf(item: unknown, names: readonly string[]): unknown {
  if (typeof item !== 'object' || item === null) return undefined;
  const members = item as Readonly<Record<string, unknown>>;
  for (const name of names) if (Object.hasOwn(item, name) && members[name] !== null) return members[name];
  return undefined;
}

interface Place {
  readonly rule: CompiledRule;
  readonly metric: CompiledMetric;
  readonly index: number;
  readonly timestampUs: number | undefined;
  readonly out: Reading[];
}

/** A value, or an object whose members are values; arrays inside it are left to paths with [*]. */
function readNode(at: Place, subject: Subject, node: unknown, depth: number): void {
  const { metric, rule } = at;
  if (typeof node === 'number' || typeof node === 'boolean') pushValue(at, subject, Number(node));
  else if (typeof node === 'string') readText(at, subject, node, depth);
  else if (typeof node === 'object' && node !== null && !Array.isArray(node)) {
    if (depth >= rule.limits.jsonDepthMax) throw new PayloadError('too-deep');
    const times = (metric.time ?? rule.time).names;
    for (const [name, member] of Object.entries(node)) {
      const path =
        depth === 0 && name === 'value' ? '' : subject.path === '' ? name : `${subject.path}_${name}`;
      if (metric.skip.has(path) || metric.skip.has(name)) continue;
      if (depth === 0 && node === subject.item && times.includes(name)) continue;
      readNode(at, { ...subject, path }, member, depth + 1);
    }
  }
}

function readText(at: Place, subject: Subject, text: string, depth: number): void {
  const { metric, rule, index, timestampUs, out } = at;
  const word = metric.map.get(text.trim().toLowerCase());
  const [, digits, unit = ''] = quantity.exec(text.trim()) ?? [];
  // Units only where the rule points at the text itself: in an object it may be anything ("3 days").
  if (word !== undefined) pushValue(at, subject, word);
  else if (digits !== undefined && (unit === '' || depth === 0))
    pushValue(at, { ...subject, unit }, Number(digits));
  else if (metric.textAsLog && text !== '')
    pushLine(
      rule,
      { ...metric, severity: undefined },
      index + 1000,
      subject,
      { line: text, timestampUs },
      out,
    );
}

function pushValue(at: Place, subject: Subject, raw: number): void {
  const { rule, metric, index, timestampUs, out } = at;
  const { limits } = rule;
  if (out.length >= limits.valuesPerPayloadMax) throw new PayloadError('too-many-values');
  if (subject.path.length > limits.metricNameBytesMax) throw new PayloadError('name-too-long');
  const value = metric.scale === 1 && metric.offset === 0 ? raw : raw * metric.scale + metric.offset;
  const unit = metric.unit?.text(subject) || subject.unit;
  const named = subject.unit === unit ? subject : { ...subject, unit };
  const more = metric.labelsFrom?.first(subject.item);
  const dynamic = [
    ...(metric.name?.dynamic ? [metric.name.text(named)] : []),
    ...metric.labels.flatMap(([, text]) => (text.dynamic ? [text.text(named)] : [])),
    ...(more === undefined ? [] : [JSON.stringify(more)]),
  ];
  const { topic, path, keys } = subject;
  const key = keyOf('v', rule.rule, index, [topic, path, ...keys, ...dynamic]);
  out.push({
    ...{ kind: 'value', key, timestampUs, value },
    labels: () => [...labelsAt(rule, metric, named, more), ['__name__', nameAt(metric, named)]],
    about: unit === '' && metric.help === '' ? undefined : aboutOf(metric, named),
  });
}

const aboutOf = (metric: CompiledMetric, subject: Subject): About => ({
  ...{ type: metric.type, help: metric.help, unit: subject.unit },
  name: nameAt(metric, subject),
});

function nameAt({ name, value }: CompiledMetric, subject: Subject): string {
  const { path, topic } = subject;
  if (name !== undefined) {
    const text = name.text(subject);
    return metricName(path === '' ? text.replace(/_$/, '') : text);
  }
  if (value.lastName !== '') return metricName(path === '' ? value.lastName : `${value.lastName}_${path}`);
  return metricName(path === '' ? lastLevel(topic) : path);
}

function pushLine(
  rule: CompiledRule,
  log: CompiledLabels & { readonly severity: TextTemplate | undefined },
  index: number,
  subject: Subject,
  { line, timestampUs }: { line: string; timestampUs: number | undefined },
  out: Reading[],
): void {
  if (out.length >= rule.limits.valuesPerPayloadMax) throw new PayloadError('too-many-values');
  const dynamic = log.labels.flatMap(([, text]) => (text.dynamic ? [text.text(subject)] : []));
  const { topic, path, keys } = subject;
  out.push({
    ...{ kind: 'line', line, timestampUs, severity: log.severity?.text(subject) ?? '' },
    key: keyOf('l', rule.rule, index, [topic, path, ...keys, ...dynamic]),
    labels: () =>
      canonicalLabels([
        ['source', 'mqtt'],
        ...(path === '' ? [] : [['field', path] as const]),
        ...labelsAt(rule, log, subject, undefined),
      ]),
  });
}

function lineOf({ line }: CompiledLog, subject: Subject): string {
  if ('text' in line) return line.text.text(subject);
  const found = line.path.first(subject.item);
  return typeof found === 'object' && found !== null ? JSON.stringify(found) : scalarText(found);
}

/** Later ones win: levels of the topic, members of labelsFrom, the rule's, the metric's. */
function labelsAt(
  rule: CompiledRule,
  { labels, levels }: CompiledLabels,
  subject: Subject,
  more: unknown,
): Label[] {
  const { topic } = subject;
  const members = typeof more === 'object' && more !== null ? Object.entries(more) : [];
  return [
    ...levels.map((name, index): Label => [name, subject.levels[index] ?? '']),
    ...members.map(([name, value]): Label => [labelName(name), scalarText(value)]),
    ...(rule.topicLabel ? [['topic', topic] as const] : []),
    ...labels.map(([name, text]): Label => [name, text.text(subject)]),
  ];
}

function labelName(text: string): string {
  const name = text.replaceAll(/[^a-zA-Z0-9_]/gu, '_').replace(/^__/, '_');
  return /^[a-zA-Z_]/.test(name) ? name : `_${name}`;
}

/** Lengths keep the parts apart. */
const keyOf = (kind: string, rule: string, index: number, parts: readonly string[]): string =>
  `${kind}r${rule.length} ${rule}${index} ${parts.map((part) => `${part.length} ${part}`).join('')}`;
