import { type Context, Hono } from 'hono';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { createFairQueue, type FairQueueErrors, type FairQueueLimits } from '../../base/fair-queue.ts';
import type { Logger } from '../../base/log.ts';
import type { ResultCache } from '../../promql/cache/result-cache.ts';
import { PromqlError } from '../../promql/errors.ts';
import type { Evaluator } from '../../promql/evaluator.ts';
import type { QueryLimits } from '../../promql/limits.ts';
import { formatExpr } from '../../promql/print.ts';
import type { ReadRange } from '../../promql/read-range.ts';
import type { SeriesScan } from '../../scan/series-scan.ts';
import type { Tables } from '../../tables.ts';
import { limitBody } from '../body-limit.ts';
import { gzipAnswers } from '../text-response.ts';
import { answerExemplars } from './exemplars.ts';
import { answerLabels, answerLabelValues, answerMetadata, answerSeries } from './labels.ts';
import { type Parameters, readParameters } from './parameters.ts';
import { answerQuery, answerRangeQuery, queryParameter } from './queries.ts';
import { answerRemoteRead } from './remote-read.ts';
import { failWith, succeed } from './respond.ts';
import { syntaxTree } from './syntax-tree.ts';

/** What one tenant's queries are answered from. */
interface PromqlDeployment {
  readonly tables: Tables;
  readonly scan: SeriesScan;
}

export interface BuildInfo {
  readonly version: string;
  readonly revision: string;
  readonly branch: string;
  readonly buildUser: string;
  readonly buildDate: string;
  readonly goVersion: string;
}

export interface PrometheusOptions {
  /** Whose data a request is about; authentication has been done before. May throw, and may answer later. */
  readonly context: (c: Context) => PromqlDeployment | Promise<PromqlDeployment>;
  readonly limits: QueryLimits;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly buildInfo: BuildInfo;
  /** Says whether the data of a range is all there (lake/completeness/warning.ts); answers carry what it says. */
  readonly completeness?: (c: Context, read: ReadRange) => Promise<string | undefined>;
  readonly bodyBytesMax?: number;
  /** Where large queries are evaluated; absent: on the thread that answers. */
  readonly evaluator?: Evaluator;
  readonly queue?: FairQueueLimits;
  /** Shared by all tenants, whose answers are apart. */
  readonly cache?: ResultCache;
}

/** Bytes of a POST form, as in Go's ParseForm. */
const defaultBodyBytesMax = 10_485_760;

/** Prometheus' HTTP API (what Grafana and others ask of it) below /api/v1. */
export function prometheusRoutes(options: PrometheusOptions): Hono {
  const { limits, clock, logger, buildInfo, bodyBytesMax = defaultBodyBytesMax } = options;
  const app = new Hono();
  app.onError((error, c) => failWith(error, c, logger));
  // Clients of data sources understand gzip and nothing newer (Grafana refuses zstd).
  app.use('/api/v1/*', gzipAnswers());
  const limited = limitBody(bodyBytesMax);

  type Handler = (parameters: Parameters, deployment: PromqlDeployment, c: Context) => Promise<Response>;
  const handle = (handler: Handler) => async (c: Context) =>
    handler(await readParameters(c), await options.context(c), c);
  const getOrPost = (path: string, handler: Handler): void => {
    app.on(['GET', 'POST'], path, limited, handle(handler));
  };

  const evaluation = (deployment: PromqlDeployment, c: Context, queuedMs: number) => ({
    ...{ source: deployment.scan, limits, clock, signal: c.req.raw.signal, evaluator: options.evaluator },
    ...{ cache: options.cache, queuedMs },
    warningOf: (read: ReadRange) => warningOf(options, c, read),
  });
  const queue = createFairQueue(queueErrors, options.queue);
  const queued = (answer: typeof answerQuery): Handler => {
    return (parameters, deployment, c) => {
      const sinceMs = clock.monotonicMs();
      return queue.run(deployment.tables.tenant, c.req.raw.signal, () =>
        answer(parameters, evaluation(deployment, c, clock.monotonicMs() - sinceMs)),
      );
    };
  };
  getOrPost('/api/v1/query', queued(answerQuery));
  getOrPost('/api/v1/query_range', queued(answerRangeQuery));
  getOrPost('/api/v1/labels', (parameters, { scan }, c) => answerLabels(parameters, scan, c.req.raw.signal));
  getOrPost('/api/v1/series', (parameters, { scan }, c) => answerSeries(parameters, scan, c.req.raw.signal));
  app.get(
    '/api/v1/label/:name/values',
    handle((parameters, { scan }, c) =>
      answerLabelValues(parameters, c.req.param('name') ?? '', scan, c.req.raw.signal),
    ),
  );
  app.get(
    '/api/v1/metadata',
    handle((parameters, { tables }) => answerMetadata(parameters, tables)),
  );
  getOrPost('/api/v1/format_query', async (parameters) =>
    succeed(formatExpr(queryParameter(parameters).expr)),
  );
  getOrPost('/api/v1/parse_query', async (parameters) =>
    succeed(syntaxTree(queryParameter(parameters).expr)),
  );
  getOrPost('/api/v1/query_exemplars', (parameters, { scan }, c) =>
    answerExemplars(parameters, scan, c.req.raw.signal),
  );
  app.post('/api/v1/read', limited, async (c) => {
    const body = new Uint8Array(await c.req.arrayBuffer());
    const { scan: source, tables } = await options.context(c);
    const { signal } = c.req.raw;
    return queue.run(tables.tenant, signal, () =>
      answerRemoteRead(body, { source, limits, signal }, bodyBytesMax),
    );
  });
  for (const [path, data] of Object.entries(fixedAnswers(buildInfo)))
    app.get(
      path,
      handle(async () => succeed(data)),
    );
  return app;
}

const queueErrors: FairQueueErrors = {
  refused: (message) => new PromqlError('unavailable', message),
  canceled: (cause) => new PromqlError('canceled', 'query was canceled in query queue', cause),
};

/** Rules are not evaluated here: none, and not an error. */
const fixedAnswers = (buildInfo: BuildInfo): Readonly<Record<string, object>> => ({
  '/api/v1/rules': { groups: [] },
  '/api/v1/alerts': { alerts: [] },
  '/api/v1/status/flags': {},
  '/api/v1/status/buildinfo': buildInfo,
});

/** What there is to say of how complete an answer is. The answer is right without it; that it is missing has to be known. */
async function warningOf(
  { completeness, logger }: PrometheusOptions,
  c: Context,
  read: ReadRange,
): Promise<string | undefined> {
  try {
    return await completeness?.(c, read);
  } catch (error) {
    logger.warn('how complete an answer is could not be found out', { error: messageOf(error) });
    return 'completeness: not known now';
  }
}
