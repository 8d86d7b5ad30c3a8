import { compress } from 'snappyjs';
import { PromqlError } from '../../promql/errors.ts';
import type { QueryLimits } from '../../promql/limits.ts';
import { keepSamples, type SeriesData, type SeriesSource } from '../../promql/source.ts';
import { decodeSnappy } from '../../receive/snappy.ts';
import { decodeReadRequest, type ReadQuery } from './read-request.ts';
import { encodeReadResponse } from './read-response.ts';

/** Selections of one request. */
const queriesMax = 100;

/**
 * POST /api/v1/read: remote read 1.0 with samples, which every client takes (streamed chunks are not offered). Throws
 * PromqlError `bad_data`, FirnError `invalid` for a body that is no request, and `limit` for more samples than one query
 * may load.
 */
export async function answerRemoteRead(
  body: Uint8Array,
  { source, limits, signal }: { source: SeriesSource; limits: QueryLimits; signal: AbortSignal },
  bodyBytesMax: number,
): Promise<Response> {
  const queries = decodeReadRequest(decodeSnappy(body, bodyBytesMax));
  if (queries.length > queriesMax) {
    const text = `more than ${queriesMax} queries in one request (queriesMax)`;
    throw new PromqlError('bad_data', text);
  }
  let samplesLeft = limits.samplesMax;
  const results: (readonly SeriesData[])[] = [];
  for (const query of queries) {
    const selection = { ...query, samplesMax: samplesLeft, seriesMax: limits.seriesMax };
    const found = (await source.select(selection, signal)).flatMap((series) => within(series, query));
    for (const { values } of found) samplesLeft -= values.length;
    results.push(found);
  }
  const bytes = compress(encodeReadResponse(results));
  return new Response(Buffer.from(bytes), {
    headers: { 'content-type': 'application/x-protobuf', 'content-encoding': 'snappy' },
  });
}

/** Series with native histograms come with some from before the time that was asked for. */
function within(series: SeriesData, { fromMs, toMs }: ReadQuery): SeriesData[] {
  const { labels, timestampsMs } = series;
  if ((timestampsMs[0] ?? 0) >= fromMs && (timestampsMs.at(-1) ?? 0) <= toMs) return [series];
  const inside = (index: number): boolean => {
    const ms = timestampsMs[index] ?? 0;
    return ms >= fromMs && ms <= toMs;
  };
  const kept = { labels, ...keepSamples(series, inside) };
  return kept.values.length > 0 ? [kept] : [];
}
