import { PayloadError } from '../codecs/payload-error.ts';
import type { TopicReader, TopicRule } from './reading.ts';
import type { Preset, RuleInput } from './schema.ts';
import { scalarText } from './text-template.ts';

// Home Assistant's MQTT discovery: devices say in retained `config` messages where their states are, and in which unit.
// What they say becomes rules. It is only a description: commands and what is not a value are left out.

/** Entities remembered; what more devices announce is left to the rules that follow. */
const entitiesMax = 10_000;
const configBytesMax = 256 * 1024;
const templateCharactersMax = 500;

interface Entity {
  readonly stateTopic: string;
  readonly rule: TopicRule;
}

type Members = Readonly<Record<string, unknown>>;

export function homeAssistant(
  { base = 'homeassistant' }: Preset,
  label: string,
  compile: (rule: RuleInput, name: string) => TopicRule,
): TopicRule {
  /** By config topic. */
  const announced = new Map<string, readonly Entity[]>();
  const byState = new Map<string, TopicRule[]>();
  let entities = 0;

  const forget = (configTopic: string): void => {
    for (const { stateTopic, rule } of announced.get(configTopic) ?? []) {
      const left = byState.get(stateTopic)?.filter((other) => other !== rule) ?? [];
      if (left.length > 0) byState.set(stateTopic, left);
      else byState.delete(stateTopic);
      entities--;
    }
    announced.delete(configTopic);
  };
  const learn = (topic: string, levels: readonly string[], payload: Uint8Array): void => {
    forget(topic);
    const found = entitiesOf(levels, payload).flatMap((config) => entityOf(config, compile));
    if (found.length === 0 || entities + found.length > entitiesMax) return;
    announced.set(topic, found);
    entities += found.length;
    for (const { stateTopic, rule } of found)
      byState.set(stateTopic, [...(byState.get(stateTopic) ?? []), rule]);
  };

  return {
    name: label,
    learnsFrom: `${base}/#`,
    match: (topic, levels) => {
      if (topic.startsWith(`${base}/`)) {
        const own = levels.slice(base.split('/').length);
        const isConfig = own.length >= 3 && own.at(-1) === 'config';
        return {
          ...{ rule: label, learns: true },
          read: (payload) => {
            if (isConfig) learn(topic, own, payload);
            return [];
          },
        };
      }
      const rules = byState.get(topic);
      return (
        rules &&
        together(
          label,
          rules.map((rule) => rule.match(topic, levels)),
        )
      );
    },
  };
}

function together(rule: string, readers: readonly (TopicReader | undefined)[]): TopicReader {
  return {
    rule,
    read: (payload, receivedUs) => readers.flatMap((reader) => reader?.read(payload, receivedUs) ?? []),
  };
}

/** One for each component: `<component>/[<node>/]<object>/config`, or `device/<object>/config` with several. */
function entitiesOf(levels: readonly string[], payload: Uint8Array): Members[] {
  if (payload.length === 0) return [];
  if (payload.length > configBytesMax) throw new PayloadError('too-large');
  const config = membersOf(parse(payload), full);
  const objectId = levels.at(-2) ?? '';
  if (levels[0] !== 'device') return [{ platform: levels[0], object_id: objectId, ...config }];
  const { components, ...shared } = config;
  return Object.entries(isRecord(components) ? components : {}).map(([id, component]) => ({
    object_id: `${objectId}_${id}`,
    ...shared,
    ...membersOf(component, full),
  }));
}

function parse(payload: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch {
    throw new PayloadError('bad-json');
  }
}

/** Home Assistant's abbreviations, of what is used here. */
const full: Readonly<Record<string, string>> = {
  ...{ stat_t: 'state_topic', unit_of_meas: 'unit_of_measurement', val_tpl: 'value_template' },
  ...{
    dev_cla: 'device_class',
    stat_cla: 'state_class',
    uniq_id: 'unique_id',
    obj_id: 'object_id',
    dev: 'device',
  },
  ...{ pl_on: 'payload_on', pl_off: 'payload_off', cmps: 'components', p: 'platform', ids: 'identifiers' },
  ...{ stat_val_tpl: 'state_value_template' },
};

const isRecord = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function membersOf(value: unknown, names: Readonly<Record<string, string>>): Members {
  if (!isRecord(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [names[name] ?? name, member]));
}

const platforms = ['sensor', 'binary_sensor', 'switch', 'number', 'light', 'fan', 'lock', 'valve', 'cover'];

function entityOf(config: Members, compile: (rule: RuleInput, name: string) => TopicRule): Entity[] {
  const stateTopic = topicOf(config);
  const platform = scalarText(config.platform);
  const path = pathOf(config.value_template ?? config.state_value_template);
  if (stateTopic === '' || /[#+]/.test(stateTopic) || path === undefined || !platforms.includes(platform))
    return [];
  const rule = ruleOf(config, stateTopic, path);
  try {
    return [{ stateTopic, rule: compile(rule, `homeassistant ${scalarText(config.object_id)}`) }];
  } catch {
    // A path that rules do not know: the messages of this entity are left to the rules that follow.
    return [];
  }
}

function ruleOf(config: Members, stateTopic: string, path: string): RuleInput {
  const device = membersOf(config.device, full);
  const [firstId] = [device.identifiers].flat();
  const deviceClass = scalarText(config.device_class);
  const map = Object.fromEntries(
    (
      [
        ['payload_on', 1],
        ['payload_off', 0],
      ] as const
    ).flatMap(([name, value]) => {
      const text = scalarText(config[name]);
      return text === '' ? [] : [[text, value]];
    }),
  );
  const unit = scalarText(config.unit_of_measurement);
  return {
    ...{ topic: literal(stateTopic), payload: path === '' ? 'text' : 'json' },
    metrics: [
      {
        ...{ value: path === '' ? '$' : path, map, unit: escaped(unit) },
        name: escaped(`homeassistant_${deviceClass || scalarText(config.object_id)}`),
        type: config.state_class === 'total_increasing' ? 'counter' : 'gauge',
        labels: {
          entity: escaped(scalarText(config.unique_id) || scalarText(config.object_id)),
          device: escaped(scalarText(device.name) || scalarText(firstId)),
          device_class: escaped(deviceClass),
        },
      },
    ],
  };
}

/** The state topic; ~ at its start or end stands for the base. */
function topicOf(config: Members): string {
  const base = scalarText(config['~']);
  return scalarText(config.state_topic)
    .replace(/^~/, () => base)
    .replace(/~$/, () => base);
}

const filters = /^(?:\s*\|\s*(?:float|int|round|default|is_defined|abs)\s*(?:\([^()]*\))?)*$/;

/** Of the templates only those that name one value: '' for all of the payload, undefined for others. */
function pathOf(template: unknown): string | undefined {
  if (template === undefined) return '';
  if (scalarText(template).length > templateCharactersMax) return undefined;
  const inside = /^\s*\{\{-?\s*(value_json|value)((?:\.\w+|\[[^\]]*\])*)((?:\s*\|[^{}]*)?)\s*-?\}\}\s*$/.exec(
    scalarText(template),
  );
  const [, source, steps = '', rest = ''] = inside ?? [];
  if (source === undefined || !filters.test(rest.trimEnd())) return undefined;
  if (source === 'value') return steps === '' ? '' : undefined;
  return `$${steps}`;
}

const escaped = (text: string): string => text.replaceAll('{', '{{');
/** A topic for a rule that matches just it. */
const literal = (topic: string): string => topic.replaceAll(/[{}]/g, '+');
