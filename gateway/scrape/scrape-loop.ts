import { isUtf8 } from 'node:buffer';
import type { Clock } from '../../lake/base/clock.ts';
import { hasCode, messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { Batch, MetricMetadata } from '../../lake/model/batch.ts';
import type { LabelLimits } from '../../lake/receive/label-limits.ts';
import type { OwnTime } from '../../lake/receive/mqtt/device-time.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import type { Fetcher } from './fetch.ts';
import { nextScrapeMs, phaseOf, scrapeTimestampMs } from './schedule.ts';
import {
  createScrapeMemory,
  reportJson,
  type ScrapedRow,
  type ScrapeMemory,
  staleRow,
} from './scrape-memory.ts';
import { scrapeBatches } from './scrape-rows.ts';
import type { Target } from './targets.ts';

export interface LoopOptions {
  /** Resolves when the batches are on disk, all of them or none. */
  readonly append: (...batches: readonly Batch[]) => Promise<void>;
  readonly cache: SeriesCache;
  readonly limits: LabelLimits;
  /** Names of the labels that the gateway adds to everything. */
  readonly identityNames: ReadonlySet<string>;
  readonly clock: Clock;
  readonly ownTime: () => OwnTime;
  readonly logger: Logger;
  readonly counts: ScrapeCounts;
  /** Rows that the log did not take until the next scrape was due. */
  readonly onDropped: (atMs: number, rows: number) => void;
}

/** Of all targets, since the start. */
export interface ScrapeCounts {
  scrapes: number;
  failures: number;
  rows: number;
  refusedRows: number;
  droppedRows: number;
  bytes: number;
}

export interface ScrapeLoop {
  readonly target: Target;
  readonly status: TargetStatus;
  /** Stops, and marks the series of the target as ended: it is gone. */
  end(): Promise<void>;
  /** Stops with the gateway, which marks nothing: the target goes on. */
  stop(): Promise<void>;
}

interface TargetStatus {
  readonly health: 'up' | 'down' | 'unknown';
  readonly lastError: string;
  /** Wall clock; undefined before the first. */
  readonly lastScrapeMs: number | undefined;
  readonly lastDurationMs: number;
}

/** A target's own series, with which each scrape is reported. */
const reports = [
  'up',
  'scrape_duration_seconds',
  'scrape_samples_scraped',
  'scrape_samples_post_metric_relabeling',
  'scrape_series_added',
] as const;
const retryMs = 200;

/** Scrapes one target on its schedule until it is stopped; scrapes never overlap. `blocked`: why it must not be scraped. */
export function startScrapeLoop(
  target: Target,
  fetcher: Fetcher,
  blocked: () => string | undefined,
  options: LoopOptions,
): ScrapeLoop {
  const { clock, counts } = options;
  const memory = createScrapeMemory(target, options);
  const names = reports.map((name) => reportJson(name, target));
  const stopping = new AbortController();
  let reported = false;
  let status: TargetStatus = { health: 'unknown', lastError: '', lastScrapeMs: undefined, lastDurationMs: 0 };

  const scrape = async (atMs: number): Promise<void> => {
    const startMs = clock.monotonicMs();
    counts.scrapes++;
    const taken = await take(target, fetcher, memory, blocked(), atMs, stopping.signal, counts);
    if (stopping.signal.aborted) return;
    const durationMs = clock.monotonicMs() - startMs;
    const { error } = taken;
    if (error !== undefined) counts.failures++;
    const values = [
      error === undefined ? 1 : 0,
      durationMs / 1000,
      taken.samplesScraped,
      taken.samplesAfterRelabelling,
      taken.seriesAdded,
    ];
    const report = names.map((json, index) => numberRow(json, atMs, values[index] ?? 0));
    reported = true;
    const refusal = await store(
      [...taken.rows, ...report],
      taken.metadata,
      atMs,
      options,
      target.intervalMs,
      stopping.signal,
    );
    status = {
      health: error === undefined ? 'up' : 'down',
      lastError: error ?? refusal ?? '',
      lastScrapeMs: atMs,
      lastDurationMs: durationMs,
    };
  };

  const running = runOnSchedule(target, clock, stopping.signal, scrape).catch((error: unknown) => {
    options.logger.error('a target is not scraped any more', { url: target.url, error: messageOf(error) });
    status = { ...status, health: 'down', lastError: messageOf(error) };
  });
  const stop = async (): Promise<void> => {
    stopping.abort();
    await running;
  };
  return {
    target,
    get status() {
      return status;
    },
    stop,
    end: async () => {
      await stop();
      const atMs = Math.round(clock.nowMs());
      const rows = [...memory.end(atMs), ...(reported ? names.map((json) => staleRow(json, atMs)) : [])];
      await store(rows, [], atMs, options, target.intervalMs, new AbortController().signal);
    },
  };
}

async function runOnSchedule(
  { key, intervalMs }: Target,
  clock: Clock,
  stopping: AbortSignal,
  scrape: (atMs: number) => Promise<void>,
): Promise<void> {
  const phaseMs = phaseOf(key, intervalMs);
  let scheduledMs: number | undefined;
  while (!stopping.aborted) {
    scheduledMs = nextScrapeMs(clock.nowMs(), scheduledMs, intervalMs, phaseMs);
    const awake = await clock.sleep(Math.max(0, scheduledMs - clock.nowMs()), stopping).then(
      () => true,
      () => false,
    );
    if (awake) await scrape(scrapeTimestampMs(scheduledMs, clock.nowMs(), intervalMs));
  }
}

interface Taken {
  readonly rows: readonly ScrapedRow[];
  readonly metadata: readonly MetricMetadata[];
  readonly samplesScraped: number;
  readonly samplesAfterRelabelling: number;
  readonly seriesAdded: number;
  /** Why the scrape failed; its rows are the markers of what was there before. */
  readonly error: string | undefined;
}

async function take(
  target: Target,
  fetcher: Fetcher,
  memory: ScrapeMemory,
  blocked: string | undefined,
  atMs: number,
  stopping: AbortSignal,
  counts: ScrapeCounts,
): Promise<Taken> {
  const timeout = AbortSignal.timeout(Math.ceil(target.timeoutMs));
  try {
    if (blocked !== undefined) throw new Error(blocked);
    const { body, format } = await fetcher.fetch(target, AbortSignal.any([timeout, stopping]));
    counts.bytes += body.length;
    if (!isUtf8(body)) throw new Error('the exposition is not UTF-8 text');
    return { ...memory.read(body.toString('utf8'), format, atMs), error: undefined };
  } catch (error) {
    const late = timeout.aborted && !stopping.aborted;
    const message = late
      ? `no answer within the scrape timeout of ${target.timeoutMs / 1000} s`
      : reasonOf(error);
    const nothing = { metadata: [], samplesScraped: 0, samplesAfterRelabelling: 0, seriesAdded: 0 };
    return { ...nothing, rows: stopping.aborted ? [] : memory.end(atMs), error: message };
  }
}

/** Errors of several addresses of a name have no message of their own. */
function reasonOf(error: unknown): string {
  const [first] = error instanceof AggregateError ? error.errors : [];
  return messageOf(first ?? error) || String((error as { code?: unknown }).code ?? 'it failed');
}

/** Stores the rows, trying until the next scrape is due. Returns why some were not taken, if any. */
async function store(
  rows: readonly ScrapedRow[],
  metadata: readonly MetricMetadata[],
  atMs: number,
  { append, cache, clock, ownTime, counts, onDropped, logger }: LoopOptions,
  patienceMs: number,
  stopping: AbortSignal,
): Promise<string | undefined> {
  if (rows.length === 0) return undefined;
  const { metrics, exemplars, refused, refusal } = scrapeBatches(rows, metadata, {
    cache,
    own: ownTime(),
    atMs,
  });
  counts.refusedRows += refused;
  const batches: Batch[] = exemplars.rows > 0 ? [metrics, exemplars] : [metrics];
  const deadlineMs = clock.monotonicMs() + patienceMs;
  for (let waitMs = retryMs; ; waitMs *= 2) {
    try {
      await append(...batches);
      for (const { series } of batches) cache.markDurable(series);
      counts.rows += metrics.rows;
      return refused === 0 ? undefined : `${refused} samples are not stored: ${refusal}`;
    } catch (error) {
      const later = hasCode(error, 'limit') || hasCode(error, 'unavailable');
      if (!later) logger.error('a scrape could not be stored', { error: messageOf(error) });
      const given = !later || stopping.aborted || clock.monotonicMs() + waitMs >= deadlineMs;
      if (!given) {
        await clock.sleep(waitMs, stopping).catch(() => undefined);
        continue;
      }
      counts.droppedRows += metrics.rows;
      onDropped(atMs, metrics.rows);
      return `its samples are not stored: ${messageOf(error)}`;
    }
  }
}

const numberRow = (json: string, timestampMs: number, value: number): ScrapedRow => ({
  ...{ json, timestampMs, value, startMs: undefined, exemplar: undefined },
});
