import { RE2JS } from 're2js';
import { z } from 'zod';
import { messageOf } from '../../lake/base/errors.ts';
import { parseDurationMs } from '../../lake/promql/literals.ts';

// The kinds of values that prometheus.yml has.

const checked =
  <T>(parse: (text: string) => T) =>
  (text: string, context: z.RefinementCtx): T => {
    try {
      return parse(text);
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) });
      return z.NEVER;
    }
  };

/** `15s`, `1m30s`: milliseconds. */
export const duration = z.string({ error: 'it has to be a duration such as 15s or 1m' }).transform(
  checked((text) => {
    const ms = parseDurationMs(text);
    if (ms <= 0) throw new Error(`${text} is no time at all: write 15s or 1m`);
    return ms;
  }),
);

const units: Readonly<Record<string, number>> = { B: 0, K: 1, M: 2, G: 3, T: 4, P: 5, E: 6 };

/** `10MB`, `512KiB`, `0`: bytes, with 1024 to the kilobyte as Prometheus counts. 0: no limit. */
export const byteSize = z.union([z.number().int().nonnegative(), z.string()]).transform((value, context) => {
  if (typeof value === 'number') return value;
  const match = /^(\d+(?:\.\d+)?)(B|[KMGTPE]i?B)?$/.exec(value);
  if (match !== null) return Math.floor(Number(match[1]) * 1024 ** (units[match[2]?.[0] ?? 'B'] ?? 0));
  context.addIssue({ code: 'custom', message: `${JSON.stringify(value)} is no size: write 10MB or 512KB` });
  return z.NEVER;
});

/** RE2; it has to match the whole text. */
const regex = z.union([z.string(), z.number().transform(String)]).superRefine((text, context) => {
  try {
    compileAnchored(text);
  } catch (error) {
    context.addIssue({ code: 'custom', message: `${messageOf(error)}; the syntax is RE2's` });
  }
});

/** The whole text has to match. */
export const compileAnchored = (pattern: string) => RE2JS.compile(pattern, RE2JS.DOTALL);

/** YAML has numbers and booleans where labels and parameters have text. */
export const text = z.union([z.string(), z.number().transform(String), z.boolean().transform(String)]);

const relabelActions = [
  ...(['replace', 'keep', 'drop', 'keepequal', 'dropequal', 'hashmod'] as const),
  ...(['labelmap', 'labeldrop', 'labelkeep', 'lowercase', 'uppercase'] as const),
] as const;

/** One of `relabel_configs` or `metric_relabel_configs`, with its defaults filled in. */
export type RelabelRule = z.output<typeof relabelRule>;

const needsTarget: readonly string[] = [
  'replace',
  'keepequal',
  'dropequal',
  'hashmod',
  'lowercase',
  'uppercase',
];
const namesOnly: readonly string[] = ['labeldrop', 'labelkeep'];
const comparesOnly: readonly string[] = ['keepequal', 'dropequal'];

export const relabelRule = z
  .strictObject({
    action: z
      .string()
      .transform((action) => action.toLowerCase())
      .pipe(z.enum(relabelActions))
      .default('replace'),
    source_labels: z.array(z.string().min(1)).default([]),
    separator: z.string().optional(),
    regex: regex.optional(),
    modulus: z.number().int().positive().optional(),
    target_label: z.string().default(''),
    replacement: text.optional(),
  })
  .superRefine((rule, context) => {
    const refuse = (path: string, message: string): void =>
      context.addIssue({ code: 'custom', path: [path], message });
    const { action } = rule;
    if (needsTarget.includes(action) && rule.target_label === '')
      refuse('target_label', `action ${action} needs it: say which label is meant`);
    if (action === 'hashmod' && rule.modulus === undefined)
      refuse('modulus', 'action hashmod needs it: say how many shards there are');
    const extra = namesOnly.includes(action)
      ? (['source_labels', 'target_label', 'modulus', 'separator', 'replacement'] as const)
      : comparesOnly.includes(action)
        ? (['regex', 'modulus', 'separator', 'replacement'] as const)
        : [];
    for (const field of extra) {
      const value = rule[field];
      if (value !== undefined && value !== '' && !(Array.isArray(value) && value.length === 0))
        refuse(field, `action ${action} has no use for it: remove it`);
    }
  })
  .transform((rule) => ({
    ...rule,
    separator: rule.separator ?? ';',
    regex: rule.regex ?? '(.*)',
    modulus: BigInt(rule.modulus ?? 0),
    replacement: rule.replacement ?? '$1',
  }));
