import { FirnError } from '../../base/errors.ts';
import type { Label } from '../../model/labels.ts';

/**
 * How topics of one shape are mapped; plain data, as it stands in the configuration. Segments: `{name}` becomes a
 * label, `+` matches any one, `#` at the end matches the rest, anything else must be equal.
 */
export interface TopicTemplate {
  readonly topic: string;
  /** Metric name instead of the one from topic or JSON path; `{name}` stands for that segment. */
  readonly metric?: string | undefined;
  /** Labels that every series gets. */
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

/** What a topic says about its messages. */
export interface TopicMapping {
  /** Base of the metric name when a template gives one. */
  readonly metric: string | undefined;
  readonly labels: readonly Label[];
}

export type TopicMatcher = (topic: string) => TopicMapping;

type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'any' }
  | { readonly kind: 'label'; readonly name: string };

interface CompiledTemplate {
  readonly segments: readonly Segment[];
  readonly rest: boolean;
  readonly metric: string | undefined;
  readonly labels: readonly Label[];
}

/** Label names that the mapping sets itself. */
const reservedNames = ['topic', '__name__'];
const unmatched: TopicMapping = { metric: undefined, labels: [] };

/** The first template that matches wins. Throws FirnError `invalid` naming the field of the configuration. */
export function compileTemplates(templates: readonly TopicTemplate[]): TopicMatcher {
  const compiled = templates.map(compileTemplate);
  return (topic) => {
    const levels = topic.split('/');
    for (const template of compiled) {
      const captured = matchLevels(template, levels);
      if (captured === undefined) continue;
      const values = new Map(captured);
      const metric = template.metric?.replaceAll(/\{([^}]*)\}/g, (_, name) => values.get(name) ?? '');
      return { metric, labels: [...captured, ...template.labels] };
    }
    return unmatched;
  };
}

function matchLevels({ segments, rest }: CompiledTemplate, levels: readonly string[]): Label[] | undefined {
  if (rest ? levels.length < segments.length : levels.length !== segments.length) return undefined;
  // [MQTT-4.7.2-1] topics that start with $ are not matched by a wildcard in the first place
  if (levels[0]?.startsWith('$') && segments[0]?.kind !== 'literal') return undefined;
  const captured: Label[] = [];
  for (const [index, segment] of segments.entries()) {
    const level = levels[index] ?? '';
    if (segment.kind === 'literal' && segment.text !== level) return undefined;
    if (segment.kind === 'label') captured.push([segment.name, level]);
  }
  return captured;
}

function compileTemplate(template: TopicTemplate, index: number): CompiledTemplate {
  const field = `mqtt.templates[${index}]`;
  const parts = template.topic.split('/');
  const rest = parts.at(-1) === '#';
  if (rest) parts.pop();
  const segments = parts.map((part) => parseSegment(part, field));
  const names = segments.flatMap((segment) => (segment.kind === 'label' ? [segment.name] : []));
  const labels = Object.entries(template.labels ?? {});
  for (const [name] of labels) checkName(name, `${field}.labels`);
  for (const name of names)
    if (names.indexOf(name) !== names.lastIndexOf(name))
      throw invalid(`${field}.topic`, `{${name}} is there twice`);
  for (const [, name = ''] of (template.metric ?? '').matchAll(/\{([^}]*)\}/g))
    if (!names.includes(name)) throw invalid(`${field}.metric`, `{${name}} is not a segment of the topic`);
  return { segments, rest, metric: template.metric, labels };
}

function parseSegment(part: string, field: string): Segment {
  if (part === '+') return { kind: 'any' };
  const name = /^\{(.*)\}$/.exec(part)?.[1];
  if (name !== undefined) {
    checkName(name, `${field}.topic`);
    return { kind: 'label', name };
  }
  if (/[{}#+]/.test(part))
    throw invalid(
      `${field}.topic`,
      `segment ${JSON.stringify(part)} must be {name}, +, a final # or literal`,
    );
  return { kind: 'literal', text: part };
}

function checkName(name: string, field: string): void {
  if (!/^[a-zA-Z_][a-zA-Z0-9_]*$/.test(name))
    throw invalid(field, `${JSON.stringify(name)} is not a label name: use letters, digits and _`);
  if (reservedNames.includes(name)) throw invalid(field, `the label ${name} is set by the mapping itself`);
}

function invalid(field: string, why: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'compile topic templates',
    subject: field,
    message: `${field}: ${why}`,
  });
}
