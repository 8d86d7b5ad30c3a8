import type { Hono } from 'hono';
import type { Logger } from '../../lake/base/log.ts';
import type { Gap } from '../../lake/model/gap.ts';
import type { SeriesCache } from '../../lake/receive/series-cache.ts';
import type { GatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import { targetRoutes } from '../scrape/routes.ts';
import { startScraper } from '../scrape/scraper.ts';
import type { HttpReceivers } from './receivers.ts';
import type { Storage } from './storage.ts';

/** Scrapes what `scrape.configFile` says, and tells of it in /api/v1/targets. */
export async function openScraping(
  { scrape, limits, identityLabels }: GatewayConfig,
  { clock, ownTime }: GatewayClock,
  logger: Logger,
  { disk: { append }, gaps }: Storage,
  cache: SeriesCache,
  app: Hono,
  stack: AsyncDisposableStack,
): Promise<Pick<HttpReceivers, 'counters' | 'receivedBytes'>> {
  if (scrape.configFile === '') {
    app.route('/', targetRoutes(undefined));
    return { counters: () => ({}), receivedBytes: () => 0 };
  }
  const scraper = stack.use(
    await startScraper({
      ...{ ...scrape, append, cache, limits, clock, ownTime },
      identityNames: new Set(identityLabels ? ['site', 'gateway'] : []),
      logger: logger.with({ part: 'scrape' }),
      onDropped: (atMs, rows) => gaps.record(droppedGap(atMs, rows)),
    }),
  );
  app.route('/', targetRoutes(scraper));
  return {
    counters: () => {
      const { scrapes, failures, rows, refusedRows, droppedRows } = scraper.counts;
      return {
        scrapes_total: scrapes,
        scrapes_failed_total: failures,
        scraped_rows_total: rows,
        scraped_refused_rows_total: refusedRows,
        scraped_dropped_rows_total: droppedRows,
      };
    },
    receivedBytes: () => scraper.counts.bytes,
  };
}

const droppedGap = (atMs: number, rows: number): Gap => ({
  ...{ signal: 'metrics', class: 'metrics', kind: 'gap', reason: 'scrape-dropped', rows },
  ...{ fromUs: atMs * 1000, toUs: atMs * 1000, detail: 'scraped samples for which there was no room' },
});
