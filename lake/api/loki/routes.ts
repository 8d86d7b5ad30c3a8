import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Clock } from '../../base/clock.ts';
import { createFairQueue, type FairQueueErrors, type FairQueueLimits } from '../../base/fair-queue.ts';
import type { Logger } from '../../base/log.ts';
import { type AnswerTask, answer } from '../../logql/answer/answer.ts';
import { LogqlError } from '../../logql/errors.ts';
import type { LogqlLimits } from '../../logql/limits.ts';
import { parseExpr } from '../../logql/parse.ts';
import { formatExpr } from '../../logql/pretty.ts';
import { levelNames } from '../../receive/logs/level.ts';
import { serviceNameLabels } from '../../receive/logs/streams.ts';
import type { LogScan } from '../../scan/log-scan.ts';
import { bodyTooLarge } from '../body-limit.ts';
import { type Parameters, readParameters } from '../prometheus/parameters.ts';
import type { BuildInfo } from '../prometheus/routes.ts';
import { gzipAnswers } from '../text-response.ts';
import { fieldsTask, patternsTask } from './lines.ts';
import { type Asking, nowNs, queryTask, rangeQueryTask } from './queries.ts';
import { answered, bare, failWith, succeed } from './respond.ts';
import { labelsTask, labelValuesTask, seriesTask, statsTask, volumeTask } from './streams.ts';

/** What one tenant's queries are answered from. */
interface LogqlDeployment {
  readonly logs: LogScan;
}

export interface LokiOptions {
  /** Whose data a request is about; authentication has been done before. */
  readonly context: (c: Context) => LogqlDeployment | Promise<LogqlDeployment>;
  readonly limits: LogqlLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly buildInfo: BuildInfo;
  readonly bodyBytesMax?: number;
  readonly queue?: FairQueueLimits;
}

/** Bytes of a POST form, as in Go's ParseForm. */
const defaultBodyBytesMax = 10_485_760;

const root = '/loki/api/v1';

/** Loki's HTTP API (what Grafana's data source, Explore and Logs Drilldown ask of it), but for push and tail. */
export function lokiRoutes(options: LokiOptions): Hono {
  const { limits, clock, logger, buildInfo, bodyBytesMax = defaultBodyBytesMax } = options;
  const app = new Hono();
  app.onError((error, c) => failWith(error, c, logger));

  type Handler = (parameters: Parameters, c: Context) => Promise<Response>;
  const tooLarge = (c: Context): Response => c.text(`${bodyTooLarge(bodyBytesMax)}\n`, 413);
  const route = (path: string, handler: Handler): void => {
    // Clients of data sources understand gzip and nothing newer (Grafana refuses zstd).
    app.use(root + path, gzipAnswers(), bodyLimit({ maxSize: bodyBytesMax, onError: tooLarge }));
    app.on(['GET', 'POST'], root + path, async (c) => handler(await readParameters(c), c));
  };

  const queue = createFairQueue(queueErrors, options.queue);
  /** For what is asked of lines or streams: tenants take turns. */
  const asks = (path: string, taskOf: (parameters: Parameters, asking: Asking, name: string) => AnswerTask) =>
    route(path, async (parameters, c) => {
      const { logs } = await options.context(c);
      const { signal } = c.req.raw;
      const asking = { nowNs: nowNs(clock), categorize: wantsCategories(c) };
      const task = taskOf(parameters, asking, c.req.param('name') ?? '');
      const parts = { source: logs, index: logs, evaluator: logs.evaluator, limits, clock, signal };
      return queue.run(logs.tenant, signal, async () => answered(await answer(task, parts)));
    });

  asks('/query', queryTask);
  asks('/query_range', rangeQueryTask);
  asks('/labels', (parameters, asking) => labelsTask(parameters, asking, 'labels'));
  asks('/label', (parameters, asking) => labelsTask(parameters, asking, 'labels'));
  asks('/label/:name/values', labelValuesTask);
  asks('/series', seriesTask);
  asks('/index/stats', statsTask);
  asks('/index/volume', (parameters, asking) => volumeTask(parameters, asking, 'vector'));
  asks('/index/volume_range', (parameters, asking) => volumeTask(parameters, asking, 'matrix'));
  asks('/detected_labels', (parameters, asking) => labelsTask(parameters, asking, 'detected-labels'));
  asks('/detected_fields', (parameters, asking) => fieldsTask(parameters, asking, limits.entriesMax));
  asks('/detected_field/:name/values', (parameters, asking, name) =>
    fieldsTask(parameters, asking, limits.entriesMax, name),
  );
  asks('/patterns', patternsTask);
  route('/format_query', async (parameters) => formatted(parameters.text('query')));
  route('/drilldown-limits', async () => bare(drilldownLimits(limits, buildInfo)));
  app.get(`${root}/status/buildinfo`, () => bare(buildInfo));
  // No ruler: Grafana looks for these words.
  for (const path of ['/loki/api/v1/rules', '/api/prom/rules'])
    app.get(path, (c) => c.text('404 page not found\n', 404));
  app.get('/prometheus/api/v1/rules', () => succeed({ groups: [] }));
  app.get('/prometheus/api/v1/alerts', () => succeed({ alerts: [] }));
  return app;
}

function wantsCategories(c: Context): boolean {
  const flags = c.req.header('x-loki-response-encoding-flags') ?? '';
  return flags.split(',').some((flag) => flag.trim() === 'categorize-labels');
}

/** A query that is none has an answer of its own here. */
function formatted(query: string): Response {
  try {
    return succeed(formatExpr(parseExpr(query)));
  } catch (error) {
    if (!(error instanceof LogqlError)) throw error;
    return bare({ status: 'invalid-query', error: error.message }, 400);
  }
}

const queueErrors: FairQueueErrors = {
  refused: (message) => new LogqlError('refused', `too many outstanding requests: ${message}`),
  canceled: (cause) => new LogqlError('canceled', 'the request was cancelled by the client', 'query', cause),
};

/** What Logs Drilldown asks before anything else. */
function drilldownLimits({ entriesMax, seriesMax, timeoutMs }: LogqlLimits, { version }: BuildInfo) {
  return {
    limits: {
      ...{ discover_log_levels: true, discover_service_name: serviceNameLabels },
      log_level_fields: levelNames,
      max_entries_limit_per_query: entriesMax,
      max_query_series: seriesMax,
      query_timeout: `${timeoutMs / 1000}s`,
      ...{ max_query_length: '0s', retention_period: '0s', volume_enabled: true, volume_max_series: 1000 },
    },
    pattern_ingester_enabled: true,
    version,
  };
}
