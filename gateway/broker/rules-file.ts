import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { mqttLimits } from '../../lake/receive/mqtt/mapper.ts';
import { compileRules } from '../../lake/receive/mqtt/rules/compile.ts';
import type { TopicRule } from '../../lake/receive/mqtt/rules/reading.ts';

/** Mapping rules of the configuration, then those of a file: a YAML or JSON list, or `rules:` with one. '': no file. */
export function openRules(inline: readonly unknown[], path: string): TopicRule[] {
  return [...compileRules(inline, mqttLimits), ...(path === '' ? [] : compileFile(path))];
}

function compileFile(path: string): TopicRule[] {
  const rules = readRules(path);
  try {
    return compileRules(rules, mqttLimits);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    throw wrongFile(path, error.message, error.hint);
  }
}

function readRules(path: string): readonly unknown[] {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(path, 'utf8'), { maxAliasCount: 100 });
  } catch (error) {
    throw wrongFile(path, firstLine(messageOf(error)));
  }
  const rules: unknown =
    typeof content === 'object' && content !== null && 'rules' in content ? content.rules : content;
  if (!Array.isArray(rules)) throw wrongFile(path, 'it holds no list of rules');
  return rules;
}

/** The YAML parser goes on with the text around the place. */
const firstLine = (message: string): string => message.split('\n', 1)[0]?.replace(/:$/, '') ?? '';

const wrongFile = (
  path: string,
  why: string,
  hint: string | undefined = 'write a YAML list of rules, for example: - preset: tasmota',
): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read MQTT mapping rules', subject: path },
    message: `${path}: ${why}`,
    ...(hint !== undefined && { hint }),
  });
