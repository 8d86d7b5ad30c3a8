import { sampleText, timestampText } from '../../base/number-text.ts';
import { selectorMatchers } from '../../promql/ast.ts';
import { selectorsOf } from '../../promql/selectors.ts';
import type { SeriesScan } from '../../scan/series-scan.ts';
import { labelsText } from './encode.ts';
import { badParameter, type Parameters, timeParameter } from './parameters.ts';
import { queryParameter } from './queries.ts';
import { succeedWith } from './respond.ts';

/** GET and POST /api/v1/query_exemplars: exemplars of the series that the query's selectors match, in start to end. */
export async function answerExemplars(
  parameters: Parameters,
  scan: SeriesScan,
  signal: AbortSignal,
): Promise<Response> {
  const fromMs = timeParameter(parameters, 'start') ?? -Number.MAX_SAFE_INTEGER;
  const toMs = timeParameter(parameters, 'end') ?? Number.MAX_SAFE_INTEGER;
  if (toMs < fromMs) throw badParameter('end', new Error('end timestamp must not be before start time'));
  const matcherSets = selectorsOf(queryParameter(parameters).expr).map(selectorMatchers);
  if (matcherSets.length === 0) return succeedWith(['[]']);
  const found = await scan.exemplars({ matcherSets, fromMs, toMs, limit: 0 }, signal);
  const texts = found.map(({ labels, exemplars }) => {
    const each = exemplars.map(
      (one) =>
        `{"labels":${labelsText(one.labels)},"value":"${sampleText(one.value)}","timestamp":${timestampText(one.timestampMs)}}`,
    );
    return `{"seriesLabels":${labelsText(labels)},"exemplars":[${each.join()}]}`;
  });
  return succeedWith([`[${texts.join()}]`]);
}
