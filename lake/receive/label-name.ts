const names = new Map<string, string>();
const namesMax = 10_000;

/** A label's name for an attribute's key, as OpenTelemetry's translation to Prometheus has it. */
export function labelName(key: string): string {
  const known = names.get(key);
  if (known !== undefined) return known;
  const clean = key.replaceAll(/[^a-zA-Z0-9_]/gu, '_');
  const name = /^\d/.test(clean) ? `key_${clean}` : /^_(?!_)/.test(clean) ? `key${clean}` : clean;
  if (names.size >= namesMax) names.clear();
  names.set(key, name);
  return name;
}
