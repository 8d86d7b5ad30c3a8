import { type Label, type Labels, labelsJson } from '../../lake/model/labels.ts';
import { ExpositionError, type ExpositionFormat } from '../../lake/receive/exposition/cursor.ts';
import { labelsOfSeries } from '../../lake/receive/exposition/read-series.ts';
import { checkLabelLimits, type LabelLimits } from '../../lake/receive/label-limits.ts';
import type { Relabel } from './relabel.ts';
import type { Target } from './targets.ts';

/** What an exposed series is called in the table; undefined: relabelling drops it. */
export interface NamedSeries {
  /** Canonical JSON text of its labels. */
  readonly json: string;
  /** Under which a counter, histogram or summary and its `_created` series find each other (OpenMetrics). */
  readonly startKey: string | undefined;
  readonly isCreated: boolean;
}

export interface SeriesNaming {
  readonly target: Target;
  readonly relabel: Relabel;
  /** Names of the labels that the gateway adds to everything: only the configuration may set them. */
  readonly identityNames: ReadonlySet<string>;
  readonly limits: LabelLimits;
}

/** Throws ExpositionError or FirnError `limit` when the series can't be stored under what it is called then. */
export function nameSeries(
  series: string,
  format: ExpositionFormat,
  type: string,
  { target, relabel, identityNames, limits }: SeriesNaming,
): NamedSeries | undefined {
  const exposed = labelsOfSeries(series, format, type);
  const labels = new Map<string, string>();
  for (const [name, value] of exposed) {
    const own = identityNames.has(name) ? `exported_${name}` : name;
    if (labels.has(own))
      throw new ExpositionError(`label ${JSON.stringify(name)} is there twice in ${series.slice(0, 200)}`);
    labels.set(own, value);
  }
  addTargetLabels(labels, target.labels, target.config.honor_labels);
  for (const [name, value] of labels) if (value === '') labels.delete(name);
  if (!relabel(labels)) return undefined;
  checkLimits(labels, target, series);
  const pairs = [...labels].sort(([a], [b]) => (a < b ? -1 : 1));
  checkLabelLimits(pairs, limits);
  const start = format === 'openmetrics' ? startOf(exposed, type) : undefined;
  return { json: labelsJson(pairs), startKey: start?.key, isCreated: start?.isCreated ?? false };
}

/** `honor`: the exporter's label stands. Else the target's does, and the exporter's is kept under another name. */
function addTargetLabels(labels: Map<string, string>, targetLabels: Labels, honor: boolean): void {
  for (const [name, value] of targetLabels) {
    const exposed = labels.get(name);
    if (honor && exposed !== undefined) continue; // also an empty one, by which an exporter says: none
    labels.set(name, value);
    if (exposed === undefined || exposed === '') continue;
    let moved = `exported_${name}`;
    while ((labels.get(moved) ?? '') !== '' || targetLabels.some(([other]) => other === moved))
      moved = `exported_${moved}`;
    labels.set(moved, exposed);
  }
}

function checkLimits(labels: ReadonlyMap<string, string>, { config }: Target, series: string): void {
  const what = series.slice(0, 200);
  if (!labels.has('__name__')) throw new ExpositionError(`relabelling leaves ${what} without a metric name`);
  const { label_limit, label_name_length_limit, label_value_length_limit } = config;
  if (label_limit > 0 && labels.size > label_limit)
    throw new ExpositionError(
      `label_limit exceeded: ${what} has ${labels.size} labels, at most ${label_limit} are allowed`,
    );
  for (const [name, value] of labels) {
    if (label_name_length_limit > 0 && Buffer.byteLength(name) > label_name_length_limit)
      throw new ExpositionError(
        `label_name_length_limit exceeded by ${JSON.stringify(name.slice(0, 100))} of ${what}`,
      );
    if (label_value_length_limit > 0 && Buffer.byteLength(value) > label_value_length_limit)
      throw new ExpositionError(
        `label_value_length_limit exceeded by the value of ${JSON.stringify(name)} of ${what}`,
      );
  }
}

const suffixes: Readonly<Record<string, RegExp>> = {
  counter: /_(?:total|created)$/,
  histogram: /_(?:bucket|sum|count|created)$/,
  summary: /_(?:sum|count|created)$/,
};

function startOf(exposed: readonly Label[], type: string): { key: string; isCreated: boolean } | undefined {
  const suffix = suffixes[type];
  if (suffix === undefined) return undefined;
  const bound = type === 'histogram' ? 'le' : type === 'summary' ? 'quantile' : undefined;
  const name = exposed.find(([label]) => label === '__name__')?.[1] ?? '';
  const others = exposed.filter(([label]) => label !== '__name__' && label !== bound);
  const key = JSON.stringify([name.replace(suffix, ''), ...others.sort(([a], [b]) => (a < b ? -1 : 1))]);
  return { key, isCreated: name.endsWith('_created') };
}
