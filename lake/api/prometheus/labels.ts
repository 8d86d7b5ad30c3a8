import { PromqlError } from '../../promql/errors.ts';
import type { LabelsRequest, SeriesScan } from '../../scan/series-scan.ts';
import type { Tables } from '../../tables.ts';
import { labelsText } from './encode.ts';
import {
  badParameter,
  limitParameter,
  matcherSets,
  type Parameters,
  timeParameter,
  unescapeLabel,
} from './parameters.ts';
import { succeed, succeedWith } from './respond.ts';

const truncated = ['results truncated due to limit'];

function requestOf(parameters: Parameters): LabelsRequest {
  const fromMs = timeParameter(parameters, 'start');
  const toMs = timeParameter(parameters, 'end');
  return {
    matcherSets: matcherSets(parameters),
    limit: limitParameter(parameters),
    ...(fromMs === undefined ? {} : { fromMs }),
    ...(toMs === undefined ? {} : { toMs }),
  };
}

/** The first `limit` entries, and a note when there were more. */
function first<T>(
  entries: readonly T[],
  limit: number,
): { entries: readonly T[]; warnings: readonly string[] } {
  if (limit === 0 || entries.length <= limit) return { entries, warnings: [] };
  return { entries: entries.slice(0, limit), warnings: truncated };
}

/** GET and POST /api/v1/labels. */
export async function answerLabels(
  parameters: Parameters,
  scan: SeriesScan,
  signal: AbortSignal,
): Promise<Response> {
  const request = requestOf(parameters);
  const { entries, warnings } = first(await scan.labelNames(request, signal), request.limit);
  return succeed(entries, { warnings });
}

/** GET /api/v1/label/:name/values. */
export async function answerLabelValues(
  parameters: Parameters,
  escapedName: string,
  scan: SeriesScan,
  signal: AbortSignal,
): Promise<Response> {
  const name = unescapeLabel(escapedName);
  if (name === '') throw new PromqlError('bad_data', `invalid label name: ${JSON.stringify(name)}`);
  const request = requestOf(parameters);
  const { entries, warnings } = first(await scan.labelValues(name, request, signal), request.limit);
  return succeed(entries, { warnings });
}

/** GET and POST /api/v1/series. */
export async function answerSeries(
  parameters: Parameters,
  scan: SeriesScan,
  signal: AbortSignal,
): Promise<Response> {
  if (parameters.all('match[]').length === 0)
    throw new PromqlError('bad_data', 'no match[] parameter provided');
  const request = requestOf(parameters);
  const { entries, warnings } = first(await scan.series(request, signal), request.limit);
  return succeedWith([`[${entries.map(labelsText).join(',')}]`], { warnings });
}

/** GET /api/v1/metadata. */
export async function answerMetadata(parameters: Parameters, tables: Tables): Promise<Response> {
  const limit = countParameter(parameters, 'limit');
  const perMetric = countParameter(parameters, 'limit_per_metric');
  const wanted = parameters.text('metric');
  const byMetric = new Map<string, object[]>();
  for (const { name, type, help, unit } of await tables.metricMetadata()) {
    if (wanted !== '' && name !== wanted) continue;
    const known = byMetric.get(name) ?? [];
    if (known.length === 0 && limit !== undefined && byMetric.size >= limit) continue;
    if (perMetric === undefined || known.length < perMetric) known.push({ type, help, unit });
    byMetric.set(name, known);
  }
  return succeed(Object.fromEntries(byMetric));
}

/** A count, of which negative ones do not limit. */
function countParameter(parameters: Parameters, name: string): number | undefined {
  const text = parameters.text(name);
  if (text === '') return undefined;
  const count = Number(text);
  if (!Number.isInteger(count)) throw badParameter(name, new Error(`${name} must be a number`));
  return count < 0 ? undefined : count;
}
