/** Labels of a result, sorted by name. An empty value is a label too. */
export type SeriesLabels = readonly (readonly [name: string, value: string])[];

/** One series with an entry a step: its value, where it is present. */
export interface Series {
  readonly labels: SeriesLabels;
  readonly values: Float64Array;
  readonly present: Uint8Array;
}

export type Value =
  | { readonly kind: 'scalar'; readonly value: number }
  | { readonly kind: 'vector'; readonly series: readonly Series[] };

/** The points of time of a query. */
export interface Times {
  readonly startNs: bigint;
  readonly stepNs: number;
  readonly steps: number;
}

export const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

export function sortedLabels(entries: Iterable<readonly [string, string]>): SeriesLabels {
  return [...entries].sort(([a], [b]) => compareText(a, b));
}

/** A text that is the same for the same labels only. */
export function labelsKey(labels: SeriesLabels): string {
  let key = '';
  for (const [name, value] of labels) key += `${name}\u0000${value}\u0001`;
  return key;
}

export function compareLabels(a: SeriesLabels, b: SeriesLabels): number {
  for (let index = 0; index < a.length && index < b.length; index++) {
    const [left = ['', ''], right = ['', '']] = [a[index], b[index]];
    const order = compareText(left[0], right[0]) || compareText(left[1], right[1]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

/** The labels that a grouping leaves. */
export function grouped(
  labels: SeriesLabels,
  grouping: { readonly without: boolean; readonly labels: readonly string[] },
): SeriesLabels {
  const { without, labels: names } = grouping;
  return labels.filter(([name]) => names.includes(name) !== without);
}
