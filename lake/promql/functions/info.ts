import { type Label, type Labels, labelValue } from '../../model/labels.ts';
import { executionError } from '../errors.ts';
import { type Evaluation, seriesOf } from '../evaluation.ts';
import { matches, matchingValues } from '../matcher.ts';
import type { CallNode, InfoSelection, Times } from '../plan.ts';
import { selectInstant } from '../select.ts';
import {
  copySample,
  isEmpty,
  labelsKey,
  metricName,
  newSeries,
  printLabels,
  type StepSeries,
  withLabel,
} from '../value.ts';

/** Labels that tie a series to the info series of what exposes it. */
const identifyingLabels: readonly string[] = ['instance', 'job'];

/** An info series: at every step the time of its newest sample, of which the newer wins. */
interface InfoSeries {
  readonly name: string;
  readonly labels: Labels;
  readonly times: StepSeries;
}

/** info(): adds the labels of info series (target_info, unless told otherwise) to the series they belong to. */
export async function enrichWithInfo(
  evaluation: Evaluation,
  node: CallNode,
  series: readonly StepSeries[],
  times: Times,
): Promise<readonly StepSeries[]> {
  const { info } = node;
  if (info === undefined) throw new Error('info() was planned without its scan');
  const infoNames = matchingValues(info.nameMatchers, [
    ...new Set(series.map(({ labels }) => metricName(labels))),
  ]);
  // Info series themselves pass as they are.
  const isInfo = ({ labels }: StepSeries): boolean => infoNames.has(metricName(labels));
  const identified = series.some((one) => !isInfo(one) && hasIdentity(one.labels));
  const bySignature = identified ? infoSeries(evaluation, info, times) : new Map<string, InfoSeries[]>();
  const found: StepSeries[] = [];
  for (const one of series) {
    if (evaluation.budget.due()) await evaluation.budget.pause();
    if (isInfo(one)) found.push(one);
    else found.push(...enrich(evaluation, info, one, bySignature.get(identityKey(one.labels)) ?? [], times));
  }
  return found;
}

const hasIdentity = (labels: Labels): boolean =>
  identifyingLabels.some((name) => labelValue(labels, name) !== '');
const identityKey = (labels: Labels): string =>
  labelsKey(labels.filter(([name]) => identifyingLabels.includes(name)));

function infoSeries(
  { data, lookbackMs, budget }: Evaluation,
  info: InfoSelection,
  times: Times,
): Map<string, InfoSeries[]> {
  const bySignature = new Map<string, InfoSeries[]>();
  for (const series of seriesOf(data[info.scan])) {
    const selected = selectInstant(series, info, times, lookbackMs, 'time');
    if (isEmpty(selected)) continue;
    budget.charge(times.steps);
    const key = identityKey(series.labels);
    const name = metricName(series.labels);
    const group = bySignature.get(key) ?? [];
    bySignature.set(key, group);
    group.push({ name, labels: series.labels, times: selected });
  }
  return bySignature;
}

/** One series enriched; which labels it gets may change from step to step. */
function enrich(
  { budget }: Evaluation,
  info: InfoSelection,
  series: StepSeries,
  candidates: readonly InfoSeries[],
  times: Times,
): readonly StepSeries[] {
  const required = info.dataMatchers.some((matcher) => !matches(matcher, ''));
  const byLabels = new Map<string, StepSeries>();
  let last: { key: string; result: StepSeries } | undefined;
  for (let step = 0; step < times.steps; step++) {
    if (!series.present[step]) continue;
    const chosen = choose(candidates, step);
    if (chosen.length === 0 && required) continue;
    const key = chosen.map((one) => labelsKey(one.labels)).join();
    if (last?.key !== key) {
      const labels = enrichedLabels(info, series.labels, chosen);
      let result = byLabels.get(labelsKey(labels));
      if (result === undefined) {
        budget.charge(times.steps);
        result = newSeries(labels, series.dropName, times.steps);
        byLabels.set(labelsKey(labels), result);
      }
      last = { key, result };
    }
    copySample(last.result, step, series);
  }
  return [...byLabels.values()];
}

/** At most one info series of each name: the one with the newest sample. */
function choose(candidates: readonly InfoSeries[], step: number): readonly InfoSeries[] {
  const byName = new Map<string, InfoSeries>();
  for (const candidate of candidates) {
    if (!candidate.times.present[step]) continue;
    const other = byName.get(candidate.name);
    const [timeS, otherS] = [candidate.times.values[step] ?? 0, other?.times.values[step] ?? -Infinity];
    if (other && timeS === otherS) {
      const [one, two] = [printLabels(other.labels), printLabels(candidate.labels)];
      const ms = Math.round(timeS * 1000);
      throw executionError(
        `found duplicate series for info metric: existing ${one} @ ${ms}, new ${two} @ ${ms}`,
      );
    }
    if (timeS > otherS) byName.set(candidate.name, candidate);
  }
  return [...byName.values()];
}

function enrichedLabels(info: InfoSelection, base: Labels, chosen: readonly InfoSeries[]): Labels {
  const asked = new Set(info.dataMatchers.map(({ label }) => label));
  const added = new Map<string, string>();
  for (const { labels } of chosen) {
    for (const [name, value] of labels.filter((label: Label) => label[0] !== '__name__')) {
      if (asked.size > 0 && !asked.has(name)) continue;
      const before = added.get(name);
      if (before !== undefined && before !== value) throw executionError(`conflicting label: ${name}`);
      if (labelValue(base, name) === '') added.set(name, value);
    }
  }
  return [...added].reduce((all, [name, value]) => withLabel(all, name, value), base);
}
