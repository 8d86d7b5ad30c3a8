import { z } from 'zod';
import type { Clock } from '../../lake/base/clock.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import type { MetricMetadata } from '../../lake/model/batch.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import { tablePrefix } from '../../lake/model/keys.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';

// What sources say about metrics (type, help, unit) is one small JSON object beside the metrics table. It is not part of
// a snapshot: merging is idempotent, so it is done before the commit and may be done again.

/** Metrics described per tenant; further names are not kept. */
export const describedMetricsMax = 100_000;
const mergeAttemptsMax = 20;

export const metricMetadataKey = (tenant: TenantId): string =>
  `${tablePrefix(tenant, 'metrics')}firn/metadata.json`;

const format = z.object({
  format: z.literal(1),
  metrics: z.array(z.object({ name: z.string(), type: z.string(), help: z.string(), unit: z.string() })),
});

/** Sorted by name; empty when nothing was ever described. Throws FirnError `corrupt`. */
export async function readMetricMetadata(
  store: ObjectStore,
  tenant: TenantId,
): Promise<{ readonly metrics: readonly MetricMetadata[]; readonly etag: string | undefined }> {
  const key = metricMetadataKey(tenant);
  try {
    const { body, etag } = await store.get(key);
    return { metrics: parse(Buffer.from(body).toString(), key), etag };
  } catch (error) {
    if (hasCode(error, 'not-found')) return { metrics: [], etag: undefined };
    throw error;
  }
}

/** Adds and replaces descriptions by name. Returns how many were left out because of `describedMetricsMax`. */
export async function mergeMetricMetadata(
  store: ObjectStore,
  clock: Clock,
  tenant: TenantId,
  news: readonly MetricMetadata[],
): Promise<{ readonly leftOut: number }> {
  const key = metricMetadataKey(tenant);
  for (let attempt = 0; attempt < mergeAttemptsMax; attempt++) {
    const { metrics, etag } = await readMetricMetadata(store, tenant);
    const { merged, changed, leftOut } = merge(metrics, news);
    if (!changed) return { leftOut };
    const body = Buffer.from(JSON.stringify({ format: 1, metrics: merged }));
    try {
      if (etag === undefined) await store.putIfAbsent(key, body, { contentType: 'application/json' });
      else await store.putIfMatch(key, body, etag, { contentType: 'application/json' });
      return { leftOut };
    } catch (error) {
      if (!hasCode(error, 'conflict')) throw error;
      await clock.sleep(10 * attempt);
    }
  }
  throw new FirnError({
    code: 'unavailable',
    operation: 'merge metric metadata',
    subject: key,
    message: `${key} was changed by others ${mergeAttemptsMax} times in a row`,
  });
}

function merge(
  old: readonly MetricMetadata[],
  news: readonly MetricMetadata[],
): { merged: readonly MetricMetadata[]; changed: boolean; leftOut: number } {
  const byName = new Map(old.map((metric) => [metric.name, metric]));
  let changed = false;
  let leftOut = 0;
  for (const { name, type, help, unit } of news) {
    const known = byName.get(name);
    if (known?.type === type && known.help === help && known.unit === unit) continue;
    if (!known && byName.size >= describedMetricsMax) {
      leftOut++;
      continue;
    }
    byName.set(name, { name, type, help, unit });
    changed = true;
  }
  const merged = [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return { merged, changed, leftOut };
}

function parse(text: string, key: string): readonly MetricMetadata[] {
  try {
    return format.parse(JSON.parse(text)).metrics;
  } catch (cause) {
    throw new FirnError({
      code: 'corrupt',
      operation: 'read metric metadata',
      subject: key,
      message: `${key} is damaged`,
      hint: 'delete it; it is filled again as gateways send descriptions',
      cause,
    });
  }
}
