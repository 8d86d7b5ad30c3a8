// The label detected_level, as Loki derives it: from a label or structured metadata that is named like a level, else
// from what the line says.

/** In order of preference. */
export const levelNames = [
  ...['level', 'LEVEL', 'Level', 'log.level', 'severity', 'SEVERITY', 'Severity', 'SeverityText'],
  ...['lvl', 'LVL', 'Lvl', 'severity_text', 'Severity_Text', 'SEVERITY_TEXT'],
];

const canonical: Readonly<Record<string, string>> = {
  ...{ trace: 'trace', trc: 'trace', debug: 'debug', dbg: 'debug' },
  ...{ info: 'info', inf: 'info', information: 'info', warn: 'warn', wrn: 'warn', warning: 'warn' },
  ...{ error: 'error', err: 'error', critical: 'critical', fatal: 'fatal' },
};
const knownLevel = (text: string): string | undefined =>
  Object.hasOwn(canonical, text.toLowerCase()) ? canonical[text.toLowerCase()] : undefined;

/** A level in Loki's words; one that it does not know stays as it is. */
export const normalLevel = (text: string): string => knownLevel(text) ?? text;

/** The level that labels or structured metadata name. */
export function levelOf(value: (name: string) => string | undefined): string | undefined {
  for (const name of levelNames) {
    const level = value(name);
    if (level !== undefined && level !== '') return normalLevel(level);
  }
  return undefined;
}

/** By OpenTelemetry's severity number; 0 is not given. */
export function levelOfSeverity(severity: number): string {
  if (severity < 1 || severity > 24) return 'unknown';
  return severityLevels[Math.floor((severity - 1) / 4)] ?? 'unknown';
}
const severityLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

export function levelOfLine(line: string): string {
  const first = line.charCodeAt(0);
  const json = first === 0x7b || first <= 0x20 ? isJson(line) : false;
  const named = json ? levelOfJson(line) : line.includes('=') ? levelOfLogfmt(line) : undefined;
  return (named === undefined ? undefined : knownLevel(named)) ?? levelOfText(line);
}

const isJson = (line: string): boolean => {
  const text = line.trim();
  return text.startsWith('{') && text.endsWith('}');
};

const jsonLevel = new RegExp(
  `"(?:${levelNames.map((name) => name.replace('.', '\\.')).join('|')})"\\s*:\\s*"((?:[^"\\\\]|\\\\.)*)"`,
);
const jsonDepthMax = 2;

/** The first member that is named like a level. */
function levelOfJson(line: string): string | undefined {
  const found = jsonLevel.exec(line);
  if (found === null) return undefined;
  const inner = line.slice(line.indexOf('{') + 1, found.index);
  if (!/[{[]/.test(inner)) return found[1];
  try {
    return levelWithin(JSON.parse(line) as object, 0);
  } catch {
    return undefined;
  }
}

function levelWithin(object: object, depth: number): string | undefined {
  if (depth >= jsonDepthMax) return undefined;
  for (const [name, value] of Object.entries(object) as [string, unknown][]) {
    if (typeof value === 'string' && levelNames.includes(name)) return value;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
    const level = levelWithin(value, depth + 1);
    if (level !== undefined) return level;
  }
  return undefined;
}

const mayNameLevel = /level|lvl|severity/i;
const foldedNames = [...new Set(levelNames.map((name) => name.toLowerCase()))];
const pair = /([^\s=]+)(?:=("(?:[^"\\]|\\.)*"|[^\s"]*))?/g;

/** `level=` among the first pairs, before any quotes: what most lines have, and what no other name outranks. */
const plainLevel = /^[^"]*?(?<![^\s])level=([^\s"=]+)(?=\s|$)/;

function levelOfLogfmt(line: string): string | undefined {
  if (!mayNameLevel.test(line)) return undefined;
  const plain = plainLevel.exec(line)?.[1];
  if (plain !== undefined) return plain;
  let best = foldedNames.length;
  let level: string | undefined;
  for (const [, name = '', value] of line.matchAll(pair)) {
    const rank = value === undefined ? -1 : foldedNames.indexOf(name.toLowerCase());
    if (rank < 0 || rank >= best) continue;
    best = rank;
    level = value?.startsWith('"') ? value.slice(1, -1) : value;
    if (rank === 0) break;
  }
  return level;
}

function levelOfText(line: string): string {
  if (line.includes('info') || line.includes('INFO')) return 'info';
  if (hasWord(line, 'err', 'ERR') || bracketed(line, 'error', 'ERROR')) return 'error';
  if (line.includes('warning') || line.includes('WARNING') || hasWord(line, 'warn', 'WARN')) return 'warn';
  if (hasWord(line, 'critical', 'CRITICAL')) return 'critical';
  return line.includes('debug') || line.includes('DEBUG') ? 'debug' : 'unknown';
}

/** `word:` or `[word]`; most lines have neither. */
function hasWord(line: string, lower: string, upper: string): boolean {
  if (!line.includes(lower) && !line.includes(upper)) return false;
  return line.includes(`${lower}:`) || line.includes(`${upper}:`) || bracketed(line, lower, upper);
}

const bracketed = (line: string, lower: string, upper: string): boolean =>
  line.includes(`[${lower}]`) || line.includes(`[${upper}]`);
