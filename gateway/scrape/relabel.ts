import { createHash } from 'node:crypto';
import { compileAnchored, type RelabelRule } from './config-values.ts';

// Prometheus' relabelling (model/relabel). Its regular expressions are RE2's, here by re2js: the values they look at come
// from exporters, and JavaScript's own engine can be held up for ever by the right value.

/** Changes the labels in place; an empty value is no label. Returns whether the target or series is kept. */
export type Relabel = (labels: Map<string, string>) => boolean;

/** Throws an Error with RE2's words when an expression is wrong. */
export function compileRelabel(rules: readonly RelabelRule[]): Relabel {
  const steps = rules.map(compileRule);
  return (labels) => steps.every((step) => step(labels));
}

type Regexp = ReturnType<typeof compileAnchored>;

function compileRule(rule: RelabelRule): Relabel {
  const { action, source_labels, separator, target_label: target, replacement } = rule;
  const regexp = compileAnchored(rule.regex);
  const matches = (text: string): boolean => regexp.matcher(text).matches();
  const sourceOf = (labels: Map<string, string>): string =>
    source_labels.map((name) => labels.get(name) ?? '').join(separator);
  const setTo =
    (change: (source: string) => string): Relabel =>
    (labels) =>
      put(labels, target, change(sourceOf(labels)));
  switch (action) {
    case 'replace':
      return (labels) => replace(labels, regexp, sourceOf(labels), target, replacement);
    case 'keep':
      return (labels) => matches(sourceOf(labels));
    case 'drop':
      return (labels) => !matches(sourceOf(labels));
    case 'keepequal':
      return (labels) => sourceOf(labels) === (labels.get(target) ?? '');
    case 'dropequal':
      return (labels) => sourceOf(labels) !== (labels.get(target) ?? '');
    case 'hashmod':
      return setTo((source) => String(hashOf(source) % rule.modulus));
    case 'lowercase':
      return setTo((source) => source.toLowerCase());
    case 'uppercase':
      return setTo((source) => source.toUpperCase());
    case 'labelmap':
      return (labels) => {
        for (const [name, value] of [...labels]) {
          const matcher = regexp.matcher(name);
          if (matcher.matches()) put(labels, expand(replacement, matcher), value);
        }
        return true;
      };
    case 'labeldrop':
    case 'labelkeep':
      return (labels) => {
        for (const name of [...labels.keys()])
          if (matches(name) === (action === 'labeldrop')) labels.delete(name);
        return true;
      };
  }
}

function replace(
  labels: Map<string, string>,
  regexp: Regexp,
  source: string,
  target: string,
  replacement: string,
): true {
  const matcher = regexp.matcher(source);
  if (!matcher.matches()) return true;
  const name = expand(target, matcher);
  return name === '' ? true : put(labels, name, expand(replacement, matcher));
}

function put(labels: Map<string, string>, name: string, value: string): true {
  if (value === '') labels.delete(name);
  else labels.set(name, value);
  return true;
}

/** The last 8 bytes of the MD5 sum, as Prometheus takes them, so that shards are the same. */
const hashOf = (text: string): bigint => createHash('md5').update(text).digest().readBigUInt64BE(8);

/** `$1`, `$name`, `${1}` and `$$` of a template, as Go's Regexp.Expand reads them. */
function expand(template: string, matcher: ReturnType<Regexp['matcher']>): string {
  if (!template.includes('$')) return template;
  return template.replace(/\$(?:\$|\{(\w+)\}|(\w+))/g, (whole, braced?: string, bare?: string) => {
    const name = braced ?? bare;
    if (name === undefined) return whole === '$$' ? '$' : whole;
    return groupOf(matcher, name);
  });
}

function groupOf(matcher: ReturnType<Regexp['matcher']>, name: string): string {
  if (/^\d+$/.test(name))
    return Number(name) <= matcher.groupCount() ? (matcher.group(Number(name)) ?? '') : '';
  return Object.hasOwn(matcher.namedGroups, name) ? (matcher.group(name) ?? '') : '';
}
