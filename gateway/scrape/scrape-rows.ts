import type { ExemplarsBatch, MetricMetadata, MetricsBatch } from '../../lake/model/batch.ts';
import { parseLabelsJson } from '../../lake/model/labels.ts';
import { createExemplarsBuilder } from '../../lake/receive/exemplars-builder.ts';
import { createMetricsBuilder } from '../../lake/receive/metrics-builder.ts';
import { type OwnTime, rowTime } from '../../lake/receive/mqtt/device-time.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import { isSeriesRefusal } from '../../lake/receive/series-guard.ts';
import type { ScrapedRow } from './scrape-memory.ts';

export interface ScrapeBatches {
  readonly metrics: MetricsBatch;
  readonly exemplars: ExemplarsBatch;
  /** Rows left out because the gateway takes no more series, and the guard's words. */
  readonly refused: number;
  readonly refusal: string | undefined;
}

/** The two halves of Prometheus' staleness marker, which is a NaN with bits of its own. */
const staleLow = 2;
const staleHigh = 0x7ff00000;

/** How far ahead an exporter's own timestamps may be; Prometheus has the same. */
const futureUsMax = 600_000_000;

export function scrapeBatches(
  rows: readonly ScrapedRow[],
  metadata: readonly MetricMetadata[],
  { cache, own, atMs }: { readonly cache: SeriesCache; readonly own: OwnTime; readonly atMs: number },
): ScrapeBatches {
  const metrics = createMetricsBuilder();
  const exemplars = createExemplarsBuilder();
  let refused = 0;
  let refusal: string | undefined;
  for (const { json, timestampMs, value, startMs, exemplar } of rows) {
    try {
      const series = cache.ofKey(json, () => parseLabelsJson(json));
      const { timestampUs, doubt } = rowTime(timestampMs * 1000, atMs * 1000, own, futureUsMax);
      if (value === 'stale') metrics.appendBits(series, timestampUs, staleLow, staleHigh);
      else metrics.append(series, timestampUs, value, doubt);
      if (startMs !== undefined) metrics.countsSince(startMs * 1000);
      if (exemplar) exemplars.append(series, exemplar.timestampMs * 1000, exemplar.value, exemplar.labels);
    } catch (error) {
      if (!isSeriesRefusal(error)) throw error;
      refused++;
      refusal ??= error.message;
    }
  }
  for (const each of metadata) metrics.describe(each);
  return { metrics: metrics.finish(), exemplars: exemplars.finish(), refused, refusal };
}
