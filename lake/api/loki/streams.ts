import type { AnswerTask } from '../../logql/answer/answer.ts';
import { parseSelector } from '../../logql/parse.ts';
import type { Parameters } from '../prometheus/parameters.ts';
import {
  badParameter,
  countParameter,
  durationParameter,
  rangeParameters,
  type TimeRange,
} from './parameters.ts';
import { type Asking, stepParameter } from './queries.ts';

// What streams there are: labels, series, and how much of them.

const labelsRangeNs = 6n * 3_600_000_000_000n;

/** The range of a request about labels: the last six hours, where it does not say; a later end is now. */
function labelsRange(parameters: Parameters, nowNs: bigint): TimeRange {
  const { fromNs, toNs } = rangeParameters(parameters, nowNs);
  const given = parameters.text('start') !== '' || parameters.text('since') !== '';
  // The last nanosecond is asked for too.
  return { fromNs: given ? fromNs : toNs - labelsRangeNs, toNs: toNs + 1n };
}

type MatcherSets = ReturnType<typeof parseSelector>[];

/** The streams of the parameter `query`; all where it is empty. */
function selected(parameters: Parameters): { readonly matcherSets: MatcherSets } {
  const text = parameters.text('query').trim();
  return { matcherSets: text === '' || text === '{}' ? [] : [parseSelector(text)] };
}

/** GET and POST /loki/api/v1/labels and /detected_labels. */
export const labelsTask = (
  parameters: Parameters,
  { nowNs }: Asking,
  kind: 'labels' | 'detected-labels',
): AnswerTask => ({ kind, ...selected(parameters), ...labelsRange(parameters, nowNs) });

/** GET and POST /loki/api/v1/label/:name/values. */
export const labelValuesTask = (parameters: Parameters, { nowNs }: Asking, name: string): AnswerTask => ({
  ...{ kind: 'label-values', name, ...selected(parameters), ...labelsRange(parameters, nowNs) },
});

/** GET and POST /loki/api/v1/series. */
export function seriesTask(parameters: Parameters, { nowNs }: Asking): AnswerTask {
  const sets = [...parameters.all('match[]'), ...parameters.all('match')];
  const matcherSets = sets.map((text) => parseSelector(text));
  return { kind: 'series', matcherSets, ...labelsRange(parameters, nowNs) };
}

/** GET and POST /loki/api/v1/index/stats. */
export const statsTask = (parameters: Parameters, { nowNs }: Asking): AnswerTask => ({
  ...{ kind: 'stats', ...selected(parameters), ...rangeParameters(parameters, nowNs) },
});

const volumesByDefault = 100;

/** GET and POST /loki/api/v1/index/volume and /index/volume_range. */
export function volumeTask(
  parameters: Parameters,
  { nowNs }: Asking,
  resultType: 'vector' | 'matrix',
): AnswerTask {
  const { matcherSets } = selected(parameters);
  const range = rangeParameters(parameters, nowNs);
  const targets = parameters
    .text('targetLabels')
    .split(',')
    .filter((name) => name !== '');
  const by = parameters.text('aggregateBy') || 'series';
  if (by !== 'labels' && by !== 'series') throw badParameter('invalid aggregation option');
  const hasSteps = resultType === 'matrix' && durationParameter(parameters, 'step') !== undefined;
  return {
    ...{ kind: 'volume', resultType, matcherSets, ...range, by },
    stepNs: hasSteps ? stepParameter(parameters, range) : undefined,
    names: targets.length > 0 ? targets : matcherSets.flat().map(({ label }) => label),
    limit: countParameter(parameters, 'limit', volumesByDefault),
  };
}
