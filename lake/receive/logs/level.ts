// The label detected_level, as Loki derives it: from a label or structured metadata that is named like a level, else
// from what the line says.

/** The level of a stream whose lines are to have none. */
export const noLevel = '';

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
export const knownLevel = (text: string): string | undefined =>
  Object.hasOwn(canonical, text.toLowerCase()) ? canonical[text.toLowerCase()] : undefined;

const normal = new Map<string, string>();
const normalMax = 1000;

/** A level in Loki's words; one that it does not know stays as it is. */
export function normalLevel(text: string): string {
  const known = normal.get(text);
  if (known !== undefined) return known;
  const level = knownLevel(text) ?? text;
  if (normal.size >= normalMax) normal.clear();
  normal.set(text, level);
  return level;
}

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
