import { Hono } from 'hono';
import { labelValue } from '../../lake/model/labels.ts';
import { printDurationMs } from '../../lake/promql/literals.ts';
import type { ScrapeLoop } from './scrape-loop.ts';
import type { JobStatus, Scraper } from './scraper.ts';

/** GET /api/v1/targets and /api/v1/scrape_pools, as Prometheus answers them. Without a scraper there are no targets. */
export function targetRoutes(scraper: Scraper | undefined): Hono {
  const app = new Hono();
  app.get('/api/v1/targets', (context) => {
    const pool = context.req.query('scrapePool') ?? '';
    const state = (context.req.query('state') ?? 'any').toLowerCase();
    const jobs = (scraper?.jobs() ?? []).filter(({ name }) => pool === '' || name === pool);
    const wantsActive = state !== 'dropped';
    const wantsDropped = state !== 'active';
    return context.json({
      status: 'success',
      data: {
        activeTargets: wantsActive ? jobs.flatMap(activeTargets) : [],
        droppedTargets: wantsDropped ? jobs.flatMap(droppedTargets) : [],
        droppedTargetCounts: Object.fromEntries(jobs.map(({ name, dropped }) => [name, dropped.length])),
      },
      ...(scraper && scraper.problems().length > 0 && { warnings: scraper.problems() }),
    });
  });
  app.get('/api/v1/scrape_pools', (context) =>
    context.json({
      status: 'success',
      data: { scrapePools: (scraper?.jobs() ?? []).map(({ name }) => name).sort() },
    }),
  );
  return app;
}

const activeTargets = ({ name, loops }: JobStatus): object[] => loops.map((loop) => activeTarget(name, loop));

function activeTarget(scrapePool: string, { target, status }: ScrapeLoop): object {
  const lastScrape =
    status.lastScrapeMs === undefined ? '0001-01-01T00:00:00Z' : new Date(status.lastScrapeMs).toISOString();
  return {
    discoveredLabels: Object.fromEntries(target.discovered),
    labels: Object.fromEntries(target.labels),
    scrapePool,
    scrapeUrl: target.url,
    globalUrl: target.url,
    lastError: status.lastError,
    lastScrape,
    lastScrapeDuration: status.lastDurationMs / 1000,
    health: status.health,
    scrapeInterval: printDurationMs(target.intervalMs),
    scrapeTimeout: printDurationMs(target.timeoutMs),
  };
}

const droppedTargets = ({ name, dropped }: JobStatus): object[] =>
  dropped.map((labels) => ({
    discoveredLabels: Object.fromEntries(labels),
    scrapePool: labelValue(labels, 'job') || name,
  }));
