import { readFileSync } from 'node:fs';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { FirnError, messageOf } from './errors.ts';

// One schema per process describes every setting. From it come the config file's fields, an environment variable and a
// flag for each setting, and the help text; a later source wins over an earlier one: file, environment, flags.

/** A leaf of a config schema. `mqtt.port` is `--mqtt-port`, and `<PREFIX>_MQTT_PORT` in the environment. */
export interface Setting {
  readonly path: string;
  readonly flag: string;
  readonly variable: string;
  readonly type: 'string' | 'number' | 'boolean' | 'json';
  readonly default: unknown;
  readonly description: string;
  readonly choices: readonly string[];
}

/** All settings of a schema, in its order. */
export function settingsOf(schema: z.ZodType, variablePrefix: string): Setting[] {
  return leavesOf(schema, '').map(([path, { inner, fallback, description }]) => ({
    path,
    flag: `--${path.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`).replaceAll('.', '-')}`,
    variable: `${variablePrefix}_${path
      .replace(/[A-Z]/g, (letter) => `_${letter}`)
      .replaceAll('.', '_')
      .toUpperCase()}`,
    type: typeOf(inner),
    default: fallback,
    description: description ?? '',
    choices: inner._zod.def.type === 'enum' ? Object.values(inner._zod.def.entries).map(String) : [],
  }));
}

/** What is read for a field, and what the schemas around it say; the outermost default and description count. */
interface Leaf {
  readonly inner: z.core.$ZodTypes;
  readonly fallback: unknown;
  readonly description: string | undefined;
}

function leavesOf(schema: z.core.$ZodType, prefix: string): [string, Leaf][] {
  const { inner } = leafOf(schema);
  if (inner._zod.def.type !== 'object') return [];
  return Object.entries(inner._zod.def.shape).flatMap(([name, field]): [string, Leaf][] => {
    const leaf = leafOf(field);
    return leaf.inner._zod.def.type === 'object'
      ? leavesOf(leaf.inner, `${prefix}${name}.`)
      : [[`${prefix}${name}`, leaf]];
  });
}

function leafOf(schema: z.core.$ZodType): Leaf {
  const known = schema as z.core.$ZodTypes;
  const { def } = known._zod;
  const description = z.globalRegistry.get(schema)?.description;
  const around = (inside: z.core.$ZodType, fallback?: unknown): Leaf => {
    const leaf = leafOf(inside);
    return { ...leaf, fallback: fallback ?? leaf.fallback, description: description ?? leaf.description };
  };
  switch (def.type) {
    case 'default':
    case 'prefault':
      return around(def.innerType, def.defaultValue);
    case 'optional':
    case 'nullable':
    case 'readonly':
      return around(def.innerType);
    case 'pipe':
      return around(def.in);
    default:
      return { inner: known, fallback: undefined, description };
  }
}

function typeOf({ _zod: { def } }: z.core.$ZodTypes): Setting['type'] {
  switch (def.type) {
    case 'number':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'array':
    case 'record':
      return 'json';
    default:
      return 'string';
  }
}

/**
 * Reads a process's configuration and validates it before anything opens. `argv` are the arguments after the command;
 * `--config FILE` names a YAML or JSON file. Throws FirnError `invalid` with one line that names the setting.
 */
export function loadConfig<T>(
  schema: z.ZodType<T>,
  source: {
    readonly argv: readonly string[];
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly variablePrefix: string;
  },
): T {
  const settings = settingsOf(schema, source.variablePrefix);
  const flags = readFlags(source.argv, settings);
  const file = flags.get('config') ?? source.env[`${source.variablePrefix}_CONFIG`];
  const tree: Tree = file === undefined ? {} : readConfigFile(file);
  for (const setting of settings) {
    const text = flags.get(setting.path) ?? source.env[setting.variable];
    const origin = flags.has(setting.path) ? setting.flag : setting.variable;
    if (text !== undefined) setPath(tree, setting.path, parseSetting(setting, text, origin));
  }
  const result = schema.safeParse(tree);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const path = issue?.path.join('.') ?? '';
  throw refused(path || 'config', issue?.message ?? 'not valid', hintFor(settings, path, file));
}

/**
 * A configuration with some of its fields given otherwise, validated as a whole. Throws FirnError `invalid` with one line
 * that names the setting.
 */
export function withSettings<T extends object>(schema: z.ZodType<T>, config: T, given: object): T {
  const result = schema.safeParse(merged(config, given));
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw refused(
    issue?.path.join('.') || 'settings',
    issue?.message ?? 'not valid',
    'see --help for the settings',
  );
}

/** Objects field by field; all else is replaced. */
function merged(base: object, given: object): Tree {
  const tree: Tree = { ...base };
  for (const [name, value] of Object.entries(given)) {
    const before = Object.hasOwn(tree, name) ? tree[name] : undefined;
    Object.defineProperty(tree, name, {
      value: isTree(before) && isTree(value) ? merged(before, value) : value,
      ...{ enumerable: true, writable: true, configurable: true },
    });
  }
  return tree;
}

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** True when the arguments ask for help. */
export function wantsHelp(argv: readonly string[]): boolean {
  return argv.includes('--help') || argv.includes('-h');
}

/** The settings as aligned lines for `--help`. */
export function printSettings(settings: readonly Setting[]): string {
  const width = Math.max(...settings.map((setting) => setting.flag.length)) + 2;
  return settings
    .map((setting) => {
      const fallback = setting.default === undefined ? '' : ` (default ${JSON.stringify(setting.default)})`;
      const choices = setting.choices.length > 0 ? ` [${setting.choices.join('|')}]` : '';
      return `  ${setting.flag.padEnd(width)}${setting.description}${choices}${fallback}`;
    })
    .join('\n');
}

type Tree = { [name: string]: unknown };

function readFlags(argv: readonly string[], settings: readonly Setting[]): Map<string, string> {
  const byFlag = new Map(settings.map((setting) => [setting.flag, setting]));
  const flags = new Map<string, string>();
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    const [flag = '', inline] = argument.includes('=') ? split(argument, '=') : [argument];
    const setting = byFlag.get(flag);
    if (setting === undefined && flag !== '--config') {
      throw refused(argument, 'there is no such flag', 'see --help for the flags');
    }
    const next = argv[index + 1];
    if (inline !== undefined) flags.set(setting?.path ?? 'config', inline);
    else if (setting?.type === 'boolean' && (next === undefined || next.startsWith('--')))
      flags.set(setting.path, 'true');
    else if (next === undefined) throw refused(flag, 'it needs a value', `write ${flag} VALUE`);
    else flags.set(setting?.path ?? 'config', argv[++index] ?? '');
  }
  return flags;
}

function split(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + 1)];
}

function readConfigFile(path: string): Tree {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(path, 'utf8'));
  } catch (cause) {
    throw refused(path, messageOf(cause).split('\n')[0] ?? '', 'the config file is YAML or JSON');
  }
  if (parsed === null) return {};
  if (typeof parsed !== 'object' || Array.isArray(parsed)) {
    throw refused(path, 'it is not a set of fields', 'the config file is a YAML or JSON object');
  }
  return parsed as Tree;
}

function parseSetting(setting: Setting, text: string, origin: string): unknown {
  switch (setting.type) {
    case 'string':
      return text;
    case 'number':
      if (text.trim() !== '' && Number.isFinite(Number(text))) return Number(text);
      throw refused(
        origin,
        `${JSON.stringify(text)} is not a number`,
        `write a number, for example ${origin} 1`,
      );
    case 'boolean':
      if (text === 'true' || text === 'false') return text === 'true';
      throw refused(origin, `${JSON.stringify(text)} is neither true nor false`, 'write true or false');
    case 'json':
      try {
        return JSON.parse(text);
      } catch (cause) {
        throw refused(origin, `it is not JSON: ${messageOf(cause)}`, 'write it as JSON');
      }
  }
}

function setPath(tree: Tree, path: string, value: unknown): void {
  const names = path.split('.');
  const last = names.pop() ?? '';
  let node = tree;
  for (const name of names) {
    const child = node[name];
    const next: Tree = typeof child === 'object' && child !== null ? (child as Tree) : {};
    node[name] = next;
    node = next;
  }
  node[last] = value;
}

function hintFor(settings: readonly Setting[], path: string, file: string | undefined): string {
  const setting = settings.find((each) => each.path === path);
  if (setting) return `set it by ${setting.flag}, ${setting.variable} or ${path} in the config file`;
  return file === undefined
    ? 'see --help for the settings'
    : `see --help for the settings; the file is ${file}`;
}

function refused(subject: string, message: string, hint: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'read configuration',
    subject,
    message: `${subject}: ${message}`,
    hint,
  });
}
