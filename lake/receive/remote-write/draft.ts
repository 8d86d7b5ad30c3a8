import { FirnError } from '../../base/errors.ts';
import { createExemplarsBuilder, type ExemplarsBuilder } from '../exemplars-builder.ts';
import { createMetricsBuilder, type MetricsBuilder } from '../metrics-builder.ts';
import type { SeriesCache } from '../series-cache.ts';
import { isSeriesRefusal } from '../series-guard.ts';
import type { RemoteWriteLimits } from './limits.ts';

/** What one request becomes while it is read: columns, and why some of it is not taken. */
export interface WriteDraft {
  readonly cache: SeriesCache;
  readonly limits: RemoteWriteLimits;
  readonly metrics: MetricsBuilder;
  readonly exemplars: ExemplarsBuilder;
  histograms: number;
  /** Series so far. Throws FirnError `limit` when there are too many. */
  countSeries(): number;
  /** Throws FirnError `limit` when there are too many samples, histograms and exemplars. */
  countRow(): void;
  /**
   * A series, or a sample of it, is wrong or one too many: it is left out and the rest is taken, as Prometheus does.
   * Rethrows an error that is not about one series: then the request as a whole can't be read.
   */
  refuse(error: unknown): void;
  readonly refusal: Refusal | undefined;
}

export interface Refusal {
  /** 429: nothing is wrong with what was refused, but there is no room for its series. */
  readonly status: 400 | 429;
  readonly message: string;
}

/** A series with one sample has at least about so many bytes; with room for more rows than come, growing is spared. */
const bytesPerRow = 96;
const rowsFirstMax = 65_536;

/** `bytes`: of the request. */
export function createDraft(cache: SeriesCache, limits: RemoteWriteLimits, bytes: number): WriteDraft {
  let series = 0;
  let rows = 0;
  let refused = 0;
  let first: string | undefined;
  let onlyRoom = true;
  return {
    cache,
    limits,
    metrics: createMetricsBuilder(Math.min(rowsFirstMax, 16 + Math.ceil(bytes / bytesPerRow))),
    exemplars: createExemplarsBuilder(),
    histograms: 0,
    countSeries: () => {
      if (++series > limits.seriesPerRequestMax) throw tooMany('seriesPerRequestMax', limits, 'series');
      return series;
    },
    countRow: () => {
      if (++rows > limits.rowsPerRequestMax) throw tooMany('rowsPerRequestMax', limits, 'samples');
    },
    refuse: (error) => {
      if (!isAboutSeries(error)) throw error;
      refused++;
      first ??= `series ${series}: ${error.message}`;
      onlyRoom &&= isSeriesRefusal(error);
    },
    get refusal() {
      if (first === undefined) return undefined;
      const others = refused === 1 ? '' : ` (and ${refused - 1} more)`;
      return { status: onlyRoom ? 429 : 400, message: `${first}${others}` } as const;
    },
  };
}

const aboutSeries = 'read series';

/** That a series or a sample is wrong. */
export const invalidSeries = (message: string): FirnError =>
  new FirnError({ code: 'invalid', operation: aboutSeries, subject: 'body', message });

const isAboutSeries = (error: unknown): error is FirnError =>
  error instanceof FirnError &&
  (error.operation === aboutSeries || error.operation === 'check labels' || isSeriesRefusal(error));

export function tooMany(
  subject: keyof RemoteWriteLimits,
  limits: RemoteWriteLimits,
  what: string,
): FirnError {
  return new FirnError({
    code: 'limit',
    operation: 'decode remote write',
    subject,
    message: `the request has more than ${limits[subject]} ${what} (${subject})`,
  });
}
