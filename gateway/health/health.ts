import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { MetricsBatch } from '../../lake/model/batch.ts';
import { canonicalLabels } from '../../lake/model/labels.ts';
import { createMetricsBuilder } from '../../lake/receive/metrics-builder.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import { type Probe, type Reading, systemProbes } from './probes.ts';

export interface HealthOptions {
  readonly append: (batch: MetricsBatch) => Promise<void>;
  readonly cache: SeriesCache;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly intervalMs: number;
  readonly dataDir: string;
  /** The gateway's own counts by metric name without `firn_gateway_`; `_total` at the end makes a counter. */
  readonly counters: () => Readonly<Record<string, number>>;
  /** What is measured besides them; the machine and this process by default. */
  readonly probes?: readonly Probe[];
}

const prefix = 'firn_gateway_';

export interface Health extends AsyncDisposable {
  /** What was measured last, by name; of what has labels, the sum. */
  readonly latest: Readonly<Record<string, number>>;
  /** Whether the last readings could be stored; false before the first. */
  readonly isStoring: boolean;
}

/**
 * Measures the gateway and the machine now and every `intervalMs`, into the log like any other metric. A probe that
 * fails leaves its readings out of that round; what is not finite or negative was not measured and is left out too.
 */
export function startHealth(options: HealthOptions): Health {
  const { clock, logger, intervalMs } = options;
  const stopping = new AbortController();
  const described = new Set<string>();
  const latest: Record<string, number> = {};
  let isStoring = false;
  const measure = createMeasure(options, described, latest);
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      const batch = await measure();
      try {
        await options.append(batch);
        options.cache.markDurable(batch.series);
        isStoring = true;
      } catch (error) {
        isStoring = false;
        described.clear();
        // Measured again soon; data from outside has the first claim on what room there is.
        logger.warn('health readings are not stored', { error });
      }
      await clock.sleep(intervalMs, stopping.signal).catch(() => undefined);
    }
  };
  const running = run();
  return {
    latest,
    get isStoring() {
      return isStoring;
    },
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** `described`: metrics whose description is stored. */
function createMeasure(
  options: HealthOptions,
  described: Set<string>,
  latest: Record<string, number>,
): () => Promise<MetricsBatch> {
  const { cache, clock, logger } = options;
  const probes = options.probes ?? systemProbes(options.dataDir);
  const builder = createMetricsBuilder();
  const failed = new Set<Probe>();

  const ask = async (probe: Probe): Promise<readonly Reading[]> => {
    try {
      return await probe();
    } catch (error) {
      if (!failed.has(probe)) logger.warn('a health reading is not available here', { error });
      failed.add(probe);
      return [];
    }
  };
  const own = (): Reading[] =>
    Object.entries(options.counters()).map(([name, value]) => ({ name, help: '', value }));

  return async () => {
    const readings = [...(await Promise.all(probes.map(ask))).flat(), ...own()];
    const timestampUs = Math.round(clock.nowMs() * 1000);
    for (const name of Object.keys(latest)) delete latest[name];
    for (const { name, help, value, labels } of readings) {
      if (!Number.isFinite(value) || value < 0) continue;
      latest[name] = (latest[name] ?? 0) + value;
      const metric = `${prefix}${name}`;
      const pairs = Object.entries(labels ?? {});
      const key = `health ${metric} ${JSON.stringify(pairs)}`;
      const series = cache.ofKey(key, () => canonicalLabels([...pairs, ['__name__', metric]]), 'own');
      builder.append(series, timestampUs, value);
      if (described.has(metric)) continue;
      described.add(metric);
      const type = name.endsWith('_total') ? 'counter' : 'gauge';
      builder.describe({ name: metric, type, help, unit: '' });
    }
    return builder.finish();
  };
}
