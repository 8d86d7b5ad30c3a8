import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { compress } from 'hono/compress';
import type { Clock } from '../../base/clock.ts';
import { createFairQueue, type FairQueueErrors, type FairQueueLimits } from '../../base/fair-queue.ts';
import type { Logger } from '../../base/log.ts';
import { LogqlError } from '../../logql/errors.ts';
import type { LogqlLimits } from '../../logql/limits.ts';
import { parseExpr } from '../../logql/parse.ts';
import { formatExpr } from '../../logql/pretty.ts';
import type { LogScan } from '../../scan/log-scan.ts';
import { type Parameters, readParameters } from '../prometheus/parameters.ts';
import type { BuildInfo } from '../prometheus/routes.ts';
import { answerDetectedFields, answerDetectedFieldValues } from './detected-fields.ts';
import {
  answerDetectedLabels,
  answerIndexStats,
  answerLabels,
  answerLabelValues,
  answerSeries,
  answerVolume,
  answerVolumeRange,
} from './index.ts';
import { answerPatterns } from './patterns.ts';
import { answerQuery, answerRangeQuery, nowNs } from './queries.ts';
import { bare, failWith, succeed } from './respond.ts';

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

  type Handler = (parameters: Parameters, deployment: LogqlDeployment, c: Context) => Promise<Response>;
  const tooLarge = () => {
    throw new LogqlError(
      'limit',
      `request body is larger than bodyBytesMax = ${bodyBytesMax}`,
      'bodyBytesMax',
    );
  };
  const route = (path: string, handler: Handler): void => {
    // Clients of data sources understand gzip and nothing newer (Grafana refuses zstd).
    app.use(
      root + path,
      compress({ encoding: 'gzip' }),
      bodyLimit({ maxSize: bodyBytesMax, onError: tooLarge }),
    );
    app.on(['GET', 'POST'], root + path, async (c) =>
      handler(await readParameters(c), await options.context(c), c),
    );
  };

  const query = ({ logs }: LogqlDeployment, c: Context) => {
    const flags = c.req.header('x-loki-response-encoding-flags') ?? '';
    const categorize = flags.split(',').some((flag) => flag.trim() === 'categorize-labels');
    return { source: logs, evaluator: logs.evaluator, limits, clock, signal: c.req.raw.signal, categorize };
  };
  const index = ({ logs }: LogqlDeployment, c: Context) => ({
    ...{ scan: logs, nowNs: nowNs(clock), signal: c.req.raw.signal, seriesMax: limits.seriesMax },
  });

  const queue = createFairQueue(queueErrors, options.queue);
  /** For what reads lines: tenants take turns. */
  const queued = (path: string, handler: Handler): void =>
    route(path, (parameters, deployment, c) =>
      queue.run(deployment.logs.tenant, c.req.raw.signal, () => handler(parameters, deployment, c)),
    );

  queued('/query', (parameters, deployment, c) => answerQuery(parameters, query(deployment, c)));
  queued('/query_range', (parameters, deployment, c) => answerRangeQuery(parameters, query(deployment, c)));
  route('/labels', (parameters, deployment, c) => answerLabels(parameters, index(deployment, c)));
  route('/label', (parameters, deployment, c) => answerLabels(parameters, index(deployment, c)));
  route('/label/:name/values', (parameters, deployment, c) =>
    answerLabelValues(parameters, c.req.param('name') ?? '', index(deployment, c)),
  );
  route('/series', (parameters, deployment, c) => answerSeries(parameters, index(deployment, c)));
  queued('/index/stats', (parameters, deployment, c) => answerIndexStats(parameters, index(deployment, c)));
  queued('/index/volume', (parameters, deployment, c) => answerVolume(parameters, index(deployment, c)));
  queued('/index/volume_range', (parameters, deployment, c) =>
    answerVolumeRange(parameters, index(deployment, c)),
  );
  route('/detected_labels', (parameters, deployment, c) =>
    answerDetectedLabels(parameters, index(deployment, c)),
  );
  queued('/detected_fields', (parameters, deployment, c) =>
    answerDetectedFields(parameters, query(deployment, c)),
  );
  queued('/detected_field/:name/values', (parameters, deployment, c) =>
    answerDetectedFieldValues(parameters, c.req.param('name') ?? '', query(deployment, c)),
  );
  queued('/patterns', (parameters, deployment, c) => answerPatterns(parameters, query(deployment, c)));
  route('/format_query', async (parameters) => succeed(formatExpr(parseExpr(parameters.text('query')))));
  route('/drilldown-limits', async () => bare(drilldownLimits(limits, buildInfo)));
  app.get(`${root}/status/buildinfo`, () => bare(buildInfo));
  app.get('/loki/api/v1/rules', (c) => c.text('404 page not found\n', 404));
  app.get('/prometheus/api/v1/rules', () => succeed({ groups: [] }));
  app.get('/prometheus/api/v1/alerts', () => succeed({ alerts: [] }));
  return app;
}

const queueErrors: FairQueueErrors = {
  refused: (message) => new LogqlError('refused', `too many outstanding requests: ${message}`),
  canceled: (cause) => new LogqlError('canceled', 'the request was cancelled by the client', 'query', cause),
};

/** What Logs Drilldown asks before anything else. */
function drilldownLimits({ entriesMax, seriesMax, timeoutMs }: LogqlLimits, { version }: BuildInfo) {
  return {
    limits: {
      ...{ discover_log_levels: true, discover_service_name: ['service_name'] },
      log_level_fields: ['level', 'LEVEL', 'Level', 'severity', 'lvl'],
      max_entries_limit_per_query: entriesMax,
      max_query_series: seriesMax,
      query_timeout: `${timeoutMs / 1000}s`,
      ...{ max_query_length: '0s', retention_period: '0s', volume_enabled: true, volume_max_series: 1000 },
    },
    pattern_ingester_enabled: true,
    version,
  };
}
