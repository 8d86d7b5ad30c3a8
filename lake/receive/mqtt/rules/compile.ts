import type { z } from 'zod';
import { createCodec, type Format, formats, type Wrapper } from '../codecs/codec.ts';
import type { PayloadLimits } from '../payload.ts';
import { homeAssistant } from './home-assistant.ts';
import { compileJsonPath, type JsonPath } from './json-path.ts';
import { presetRules } from './presets.ts';
import { type CompiledLog, type CompiledMetric, type CompiledTime, readerOf } from './read.ts';
import type { TopicRule } from './reading.ts';
import { type Fail, ruleError } from './rule-error.ts';
import {
  type LogOfRule,
  type MetricOfRule,
  type Preset,
  presetSchema,
  type Rule,
  type RuleInput,
  ruleSchema,
  type TimeOfRule,
} from './schema.ts';
import { compileText, type TextTemplate } from './text-template.ts';
import { compileTime } from './time-of.ts';
import { compileTopic } from './topic-pattern.ts';

const rulesMax = 1000;

/**
 * Mapping rules, ready to be asked in their order. Throws FirnError `invalid` that names the rule, the field and what to
 * write instead.
 */
export function compileRules(rules: readonly unknown[], limits: PayloadLimits): TopicRule[] {
  if (rules.length > rulesMax)
    throw ruleError('rules', 'length', `there are ${rules.length} rules`, `at most ${rulesMax} are taken`);
  return rules.flatMap((rule, index) => {
    const label = labelOf(rule, index);
    if (typeof rule !== 'object' || rule === null || !('preset' in rule))
      return [compileRule(parse(ruleSchema, rule, label), label, limits)];
    const preset = parse(presetSchema, rule, label);
    if (preset.preset === 'homeassistant')
      return [homeAssistant(preset, label, (input, name) => compilePreset(input, preset, name, limits))];
    return presetRules(preset).map((each) => compilePreset(each, preset, label, limits));
  });
}

function compilePreset(
  input: RuleInput,
  { labels }: Preset,
  label: string,
  limits: PayloadLimits,
): TopicRule {
  const name = `${label} ${[input.topic].flat()[0]}`;
  const rule = parse(ruleSchema, { topicLabel: false, empty: 'ignore', ...input }, name);
  return compileRule({ ...rule, labels: { ...rule.labels, ...labels } }, name, limits);
}

function labelOf(rule: unknown, index: number): string {
  const { name, preset } = (typeof rule === 'object' && rule !== null ? rule : {}) as {
    name?: unknown;
    preset?: unknown;
  };
  const called = typeof name === 'string' ? name : typeof preset === 'string' ? preset : undefined;
  return called === undefined ? `rule ${index + 1}` : `rule ${index + 1} (${called})`;
}

function parse<T>(schema: z.ZodType<T>, value: unknown, label: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const { issues } = result.error;
  // A misspelt field is why another one is missing.
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
  throw ruleError(label, fieldOf(issue?.path ?? []), issue?.message ?? 'is not valid');
}

const fieldOf = (path: readonly PropertyKey[]): string =>
  path
    .map((step) => (typeof step === 'number' ? `[${step}]` : `.${String(step)}`))
    .join('')
    .replace(/^\./, '') || 'rule';

function compileRule(rule: Rule, label: string, limits: PayloadLimits): TopicRule {
  const at =
    (field: string): Fail =>
    (why, hint) =>
      ruleError(label, field, why, hint);
  const topics = [rule.topic].flat().map((topic) => compileTopic(topic, at('topic')));
  const [first] = topics;
  const names = first?.names ?? [];
  if (topics.some((topic) => topic.names.join() !== names.join()))
    throw at('topic')(
      'its topics name different levels',
      'give all of them the same {names} in the same order',
    );
  const { wrapped, format } = payloadOf(rule, at('payload'));
  const path = (text: string | undefined, field: string): JsonPath | undefined =>
    text === undefined ? undefined : compileJsonPath(text, at(field));
  const read = readerOf({
    rule: label,
    codec: createCodec(wrapped, format, limits),
    limits,
    items:
      rule.items === undefined
        ? undefined
        : [rule.items].flat().map((text) => compileJsonPath(text, at('items'))),
    when: path(rule.when, 'when'),
    time: timeOf(rule.time ?? defaultTimes[format], 'time', at),
    metrics: metricsOf(rule, format).map((metric, index) =>
      compileMetric(metric, rule, `metrics[${index}]`, names, at),
    ),
    logs: rule.logs.map((log, index) => compileLog(log, rule, `logs[${index}]`, names, at)),
    topicLabel: rule.topicLabel,
    emptyIsWrong: rule.empty === 'dead-letter',
  });
  return {
    name: label,
    match: (topic, levels) => {
      for (const pattern of topics) {
        const found = pattern.match(levels);
        if (found !== undefined)
          return rule.action === 'ignore' ? { rule: label, read: () => [] } : read(topic, found);
      }
      return undefined;
    },
  };
}

function payloadOf(rule: Rule, fail: Fail): { wrapped: Wrapper[]; format: Format } {
  const all = [rule.payload].flat();
  const isFormat = (name: string): name is Format => (formats as readonly string[]).includes(name);
  const last = all.at(-1) ?? 'json';
  const inner = isFormat(last) ? last : 'json';
  const wrapped = (isFormat(last) ? all.slice(0, -1) : all).filter(
    (name): name is Wrapper => !isFormat(name),
  );
  if (wrapped.length + (isFormat(last) ? 1 : 0) !== all.length)
    throw fail('only its last part can be a format', 'write what is outside first, as in [gzip, json]');
  return { wrapped, format: inner };
}

/** What formats that name their own parts become when a rule says nothing else. */
const defaultMetrics: Readonly<Partial<Record<Format, z.input<typeof ruleSchema>['metrics']>>> = {
  senml: [
    { value: '$.value', name: '{$.name}', labels: { device: '{$.device}' }, unit: '{$.u}', text: 'log' },
  ],
  influx: [
    { value: '$.fields', name: '{$.name}_{path}', labelsFrom: '$.tags', type: 'unknown', text: 'log' },
  ],
};
const defaultTimes: Readonly<Partial<Record<Format, TimeOfRule>>> = {
  senml: { path: '$.t', unit: 's', zone: 'utc' },
  'senml-cbor': { path: '$.t', unit: 's', zone: 'utc' },
  influx: { path: '$.timestamp', unit: 'us', zone: 'utc' },
  number: false,
  text: false,
};

function metricsOf(rule: Rule, format: Format): readonly MetricOfRule[] {
  if (rule.metrics !== undefined) return rule.metrics;
  if (rule.logs.length > 0) return [];
  const metrics = defaultMetrics[format === 'senml-cbor' ? 'senml' : format] ?? [{ value: '$' }];
  return ruleSchema.parse({ topic: 'x', metrics }).metrics ?? [];
}

type At = (field: string) => Fail;

function timeOf(time: TimeOfRule | undefined, field: string, at: At): CompiledTime {
  if (time === undefined)
    return {
      path: undefined,
      names: ['ts', 'timestamp', 'time'],
      read: compileTime('auto', 'utc', at(field)),
    };
  if (time === false) return { path: undefined, names: [], read: () => undefined };
  const { path, unit, zone } =
    typeof time === 'string' ? ({ path: time, unit: 'auto', zone: 'utc' } as const) : time;
  const name = /^\$\.([\w]+)$/.exec(path)?.[1];
  return {
    path: compileJsonPath(path, at(`${field}.path`)),
    names: name === undefined ? [] : [name],
    read: compileTime(unit, zone, at(`${field}.zone`)),
  };
}

function labelsOf(
  labels: Readonly<Record<string, string>>,
  field: string,
  names: readonly string[],
  at: At,
): (readonly [string, TextTemplate])[] {
  return Object.entries(labels).map(([name, text]) => {
    if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name) || name === '__name__')
      throw at(`${field}.${name}`)(
        'a label name has letters, digits and _, and begins with no digit',
        'a metric is named by `name`',
      );
    return [name, compileText(text, names, at(`${field}.${name}`))];
  });
}

function compileMetric(
  metric: MetricOfRule,
  rule: Rule,
  field: string,
  names: readonly string[],
  at: At,
): CompiledMetric {
  const text = (source: string | undefined, part: string): TextTemplate | undefined =>
    source === undefined ? undefined : compileText(source, names, at(`${field}.${part}`));
  const labelsFrom = metric.labelsFrom ?? rule.labelsFrom;
  return {
    value: compileJsonPath(metric.value, at(`${field}.value`)),
    name: text(metric.name, 'name'),
    labels: [
      ...labelsOf(rule.labels, 'labels', names, at),
      ...labelsOf(metric.labels, `${field}.labels`, names, at),
    ],
    levels: names,
    labelsFrom: labelsFrom === undefined ? undefined : compileJsonPath(labelsFrom, at(`${field}.labelsFrom`)),
    unit: text(metric.unit, 'unit'),
    type: metric.type,
    help: metric.help,
    map: new Map([
      ...defaultMap,
      ...Object.entries(metric.map).map(([word, value]) => [word.toLowerCase(), value] as const),
    ]),
    scale: metric.scale,
    offset: metric.offset,
    textAsLog: (metric.text ?? rule.text) === 'log',
    skip: new Set(metric.skip),
    time: metric.time === undefined ? undefined : timeOf(metric.time, `${field}.time`, at),
  };
}

const defaultMap: readonly (readonly [string, number])[] = Object.entries({
  ...{ on: 1, off: 0, true: 1, false: 0, yes: 1, no: 0 },
  ...{ open: 1, opened: 1, closed: 0, close: 0, online: 1, offline: 0 },
});

function compileLog(
  log: LogOfRule,
  rule: Rule,
  field: string,
  names: readonly string[],
  at: At,
): CompiledLog {
  return {
    line: log.line.startsWith('$')
      ? { path: compileJsonPath(log.line, at(`${field}.line`)) }
      : { text: compileText(log.line, names, at(`${field}.line`)) },
    labels: [
      ...labelsOf(rule.labels, 'labels', names, at),
      ...labelsOf(log.labels, `${field}.labels`, names, at),
    ],
    levels: names,
    severity:
      log.severity === undefined ? undefined : compileText(log.severity, names, at(`${field}.severity`)),
  };
}
