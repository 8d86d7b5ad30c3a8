import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { mqttLimits } from '../../lake/receive/mqtt/mapper.ts';
import { compileRules } from '../../lake/receive/mqtt/rules/compile.ts';
import type { TopicRule } from '../../lake/receive/mqtt/rules/reading.ts';

/** Mapping rules of the configuration, then those of a file: a YAML or JSON list, or `rules:` with one. '': no file. */
export function openRules(inline: readonly unknown[], path: string): TopicRule[] {
  return [
    ...compileRules(inline, mqttLimits),
    ...(path === '' ? [] : compileRules(readRules(path), mqttLimits)),
  ];
}

function readRules(path: string): readonly unknown[] {
  let content: unknown;
  try {
    content = parseYaml(readFileSync(path, 'utf8'), { maxAliasCount: 100 });
  } catch (error) {
    throw wrongFile(path, messageOf(error));
  }
  const rules: unknown =
    typeof content === 'object' && content !== null && 'rules' in content ? content.rules : content;
  if (!Array.isArray(rules)) throw wrongFile(path, 'it holds no list of rules');
  return rules;
}

const wrongFile = (path: string, why: string): FirnError =>
  new FirnError({
    ...{ code: 'invalid', operation: 'read MQTT mapping rules', subject: path },
    message: `mqtt.rulesFile: ${path}: ${why}`,
    hint: 'write a YAML list of rules, for example: - preset: tasmota',
  });
