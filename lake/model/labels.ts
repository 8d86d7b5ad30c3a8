/** One label of a series or log stream. */
export type Label = readonly [name: string, value: string];

/**
 * A label set in canonical form: sorted by name (UTF-16 code units), names unique, no empty values (an empty value
 * means that the label is absent, as in Prometheus). Pairs and not an object, because `__proto__` is a legal label
 * name and integer-like names would be reordered.
 */
export type Labels = readonly Label[];

/** Sorts, drops empty values; of a repeated name the last one wins. Receivers that must refuse repeats check before. */
export function canonicalLabels(pairs: Iterable<Label>): Labels {
  const byName = new Map<string, string>();
  for (const [name, value] of pairs) byName.set(name, value);
  return [...byName].filter(([, value]) => value !== '').sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
}

/** The canonical JSON text of a canonical label set: what the `labels` column holds and what series ids are made of. */
export function labelsJson(labels: Labels): string {
  let text = '{';
  for (const [name, value] of labels) {
    text += `${text.length > 1 ? ',' : ''}${JSON.stringify(name)}:${JSON.stringify(value)}`;
  }
  return `${text}}`;
}

/** Reads a JSON object of strings (canonical or not) as canonical labels. */
export function parseLabelsJson(json: string): Labels {
  return canonicalLabels(Object.entries(JSON.parse(json) as Record<string, string>));
}

/** The value of a label, or '' when it is absent. */
export function labelValue(labels: Labels, name: string): string {
  for (const label of labels) if (label[0] === name) return label[1];
  return '';
}

/**
 * The label set with the gateway's own labels (site, gateway, ...) in it. A label of the same name that the source
 * sent is kept as `exported_<name>`, as a Prometheus scrape does.
 */
export function withIdentity(labels: Labels, identity: Labels): Labels {
  const names = new Set(identity.map(([name]) => name));
  const moved = labels.map(([name, value]): Label => [names.has(name) ? `exported_${name}` : name, value]);
  return canonicalLabels([...moved, ...identity]);
}
