import { z } from 'zod';
import { formats, wrappers } from '../codecs/codec.ts';
import { timeUnits } from './time-of.ts';

// What a rule may say. Texts in it (topics, paths, templates) are looked at by compile.ts.

const text = z.string().min(1).max(2048);
const texts = z.record(z.string(), z.string());

const time = z.union(
  [
    text,
    z.literal(false),
    z.strictObject({ path: text, unit: z.enum(timeUnits).default('auto'), zone: z.string().default('utc') }),
  ],
  `write a path, false, or {path, unit, zone}, of which unit is one of ${timeUnits.join(', ')}`,
);

const metric = z.strictObject({
  value: text.default('$'),
  name: text.optional(),
  labels: texts.default({}),
  labelsFrom: text.optional(),
  unit: z.string().optional(),
  type: z.enum(['gauge', 'counter', 'unknown']).default('gauge'),
  help: z.string().default(''),
  map: z.record(z.string(), z.number()).default({}),
  scale: z.number().default(1),
  offset: z.number().default(0),
  text: z.enum(['skip', 'log']).optional(),
  skip: z.array(z.string()).default([]),
  time: time.optional(),
});

const log = z.strictObject({
  line: text,
  labels: texts.default({}),
  severity: z.string().optional(),
});

const payload = z.enum([...wrappers, ...formats]);

export const ruleSchema = z.strictObject({
  name: text.optional(),
  topic: z.union([text, z.array(text).min(1).max(100)], 'write a topic, or a list of up to 100'),
  action: z.enum(['store', 'ignore']).default('store'),
  payload: z
    .union(
      [payload, z.array(payload).min(1).max(5)],
      `write one, or a list of up to five, of ${[...wrappers, ...formats].join(', ')}`,
    )
    .default('json'),
  items: z.union([text, z.array(text).min(1).max(20)], 'write a path, or a list of up to 20').optional(),
  when: text.optional(),
  time: time.optional(),
  labels: texts.default({}),
  labelsFrom: text.optional(),
  topicLabel: z.boolean().default(true),
  metrics: z.array(metric).max(200).optional(),
  logs: z.array(log).max(50).default([]),
  text: z.enum(['skip', 'log']).optional(),
  empty: z.enum(['dead-letter', 'ignore']).default('dead-letter'),
});

const presetNames = [
  'tasmota',
  'zigbee2mqtt',
  'shelly',
  'homeassistant',
  'telegraf',
  'telegraf-json',
  'thingsboard',
  'esphome',
  'ttn',
  'chirpstack',
  'theengs',
  'ditto',
] as const;
export type PresetName = (typeof presetNames)[number];

export const presetSchema = z.strictObject({
  name: text.optional(),
  preset: z.enum(presetNames),
  base: text.optional(),
  zone: z.string().default('local'),
  labels: texts.default({}),
});

export type RuleInput = z.input<typeof ruleSchema>;
export type Rule = z.infer<typeof ruleSchema>;
export type MetricOfRule = z.infer<typeof metric>;
export type LogOfRule = z.infer<typeof log>;
export type TimeOfRule = z.infer<typeof time>;
export type Preset = z.infer<typeof presetSchema>;
