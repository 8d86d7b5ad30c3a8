import { labelValue } from '../../model/labels.ts';
import { execAll } from '../bounded-match.ts';
import { executionError } from '../errors.ts';
import { compileRegexp } from '../regexp.ts';
import { compareLabels, type StepSeries, withLabel } from '../value.ts';

type Rewrite = (series: readonly StepSeries[]) => readonly StepSeries[];

/** Any text is a label name but the empty one and one that was no UTF-8 (which holds the replacement character). */
const isLabelName = (name: string): boolean => name !== '' && !name.includes('\ufffd');

/** label_replace(v, destination, replacement, source, pattern). */
export function labelReplace([
  destination = '',
  replacement = '',
  source = '',
  pattern = '',
]: readonly string[]): Rewrite {
  let regexp: RegExp;
  try {
    regexp = compileRegexp(pattern);
  } catch {
    throw executionError(`invalid regular expression in label_replace(): ${pattern}`);
  }
  if (!isLabelName(destination))
    throw executionError(`invalid destination label name in label_replace(): ${destination}`);
  return (series) => {
    const values = [...new Set(series.map(({ labels }) => labelValue(labels, source)))];
    const found = execAll(regexp, values);
    const texts = new Map(
      values.map((value, index) => {
        const match = found[index] ?? null;
        return [value, match === null ? undefined : expand(replacement, match)];
      }),
    );
    return series.map((one) => {
      const text = texts.get(labelValue(one.labels, source));
      return text === undefined ? one : relabel(one, destination, text);
    });
  };
}

/** `$1`, `$name`, `${1}` and `$$` of a replacement, as Go's Regexp.Expand reads them. */
function expand(template: string, match: RegExpExecArray): string {
  return template.replace(/\$(?:\$|\{(\w+)\}|(\w+))/g, (whole, braced?: string, bare?: string) => {
    const name = braced ?? bare;
    if (name === undefined) return whole === '$$' ? '$' : whole;
    return (/^\d+$/.test(name) ? match[Number(name)] : match.groups?.[name]) ?? '';
  });
}

/** label_join(v, destination, separator, source...). */
export function labelJoin([destination = '', separator = '', ...sources]: readonly string[]): Rewrite {
  const bad = sources.find((name) => !isLabelName(name));
  if (bad !== undefined) throw executionError(`invalid source label name in label_join(): ${bad}`);
  if (!isLabelName(destination))
    throw executionError(`invalid destination label name in label_join(): ${destination}`);
  return (series) =>
    series.map((one) =>
      relabel(one, destination, sources.map((name) => labelValue(one.labels, name)).join(separator)),
    );
}

/** A name that was set on purpose is not dropped any more. */
const relabel = (series: StepSeries, name: string, value: string): StepSeries => ({
  ...series,
  labels: withLabel(series.labels, name, value),
  dropName: name === '__name__' ? false : series.dropName,
});

function floatsOnly(series: StepSeries): StepSeries {
  const { histograms, present } = series;
  if (histograms === undefined) return series;
  const floats = present.map((flag, step) => (histograms[step] ? 0 : flag));
  return { ...series, present: floats, histograms: undefined };
}

/** By the value of the only step (the order of a range query is that of its labels); NaN last. */
export function sortByValue(series: readonly StepSeries[], descending: boolean): readonly StepSeries[] {
  const firstOf = (one: StepSeries): number => one.values[0] ?? Number.NaN;
  // Native histograms have no order; they are left out.
  return series.map(floatsOnly).toSorted((one, other) => {
    const [a, b] = [firstOf(one), firstOf(other)];
    if (Number.isNaN(a) || Number.isNaN(b)) return Number(Number.isNaN(a)) - Number(Number.isNaN(b));
    return descending ? b - a : a - b;
  });
}

/** By the values of these labels in natural order (x2 before x10), then by all labels. */
export function sortByLabel(
  series: readonly StepSeries[],
  names: readonly string[],
  descending: boolean,
): readonly StepSeries[] {
  const sign = descending ? -1 : 1;
  return series.toSorted((one, other) => {
    for (const name of names) {
      const order = compareNaturally(labelValue(one.labels, name), labelValue(other.labels, name));
      if (order !== 0) return sign * order;
    }
    return sign * compareLabels(one.labels, other.labels);
  });
}

function compareNaturally(one: string, other: string): number {
  const chunks = (text: string): readonly string[] => text.match(/\d+|\D+/g) ?? [];
  const [left, right] = [chunks(one), chunks(other)];
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const [a = '', b = ''] = [left[index], right[index]];
    if (a === b) continue;
    const numbers = /^\d/.test(a) && /^\d/.test(b);
    const order = numbers ? Number(a) - Number(b) : a < b ? -1 : 1;
    if (order !== 0) return order;
  }
  if (left.length !== right.length) return left.length - right.length;
  return one === other ? 0 : one < other ? -1 : 1;
}
