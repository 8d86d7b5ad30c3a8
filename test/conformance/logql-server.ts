import { Hono } from 'hono';
import { buildInfo } from '../../lake/api/build-info.ts';
import { startHttpServer } from '../../lake/api/http-server.ts';
import { lokiRoutes } from '../../lake/api/loki/routes.ts';
import { lokiPushRoutes } from '../../lake/api/receive/loki-push.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { defaultLogqlLimits } from '../../lake/logql/limits.ts';
import type { Batch, LogsBatch } from '../../lake/model/batch.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { textsOf } from '../../lake/model/text-column.ts';
import { lokiPushLimits } from '../../lake/receive/loki-push/limits.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { logScan } from '../../lake/scan/log-scan.ts';
import { duckdbTypes } from '../../lake/schema/duckdb-types.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openEngine, sqlText } from '../../lake/sql/duckdb/engine.ts';
import type { Tables } from '../../lake/tables.ts';

// Push and query over HTTP, on one table in memory, a tenant for each X-Scope-OrgID, as the scripts want it.

const columns = tableSchemas.logs.columns;

export interface LogqlServer extends AsyncDisposable {
  readonly base: string;
}

/** Labels and levels that Firn adds to what it receives are left out: the cases are about what was sent. */
export async function startLogqlServer(): Promise<LogqlServer> {
  await using stack = new AsyncDisposableStack();
  const engine = stack.use(await openEngine({ directories: [], memoryBytesMax: 1e9, threads: 2 }));
  const connection = await engine.connect();
  const types = columns.map(({ name, type }) => `"${name}" ${duckdbTypes[type]}`);
  await connection.run(`CREATE TABLE logs_all (tenant VARCHAR, ${types.join(', ')})`);
  const labels = new Map<bigint, string>();
  const append = async (tenant: string, batches: readonly Batch[]): Promise<void> => {
    for (const batch of batches)
      if (batch.signal === 'logs' && batch.rows > 0) await connection.run(insertSql(tenant, batch, labels));
  };
  const routesOf = (tenant: string): Hono => {
    const tables: Tables = {
      tenant: tenantId('conformance'),
      open: async () => ({
        from: `(SELECT ${columns.map(({ name }) => `"${name}"`).join(', ')} FROM logs_all WHERE tenant = ${sqlText(tenant)})`,
        ...{ filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined },
      }),
      metricMetadata: async () => [],
    };
    const app = new Hono();
    app.route(
      '/',
      lokiPushRoutes({
        append: (...batches) => append(tenant, batches),
        cache: createSeriesCache({ identity: [] }),
        limits: lokiPushLimits,
        serviceNameFrom: [],
      }),
    );
    const context = () => ({ logs: logScan({ tables, engine }) });
    const logger = createLogger('silent');
    app.route(
      '/',
      lokiRoutes({ context, limits: defaultLogqlLimits, clock: systemClock, logger, buildInfo }),
    );
    return app;
  };
  const tenants = new Map<string, Hono>();
  const fetch = (request: Request): Response | Promise<Response> => {
    const tenant = request.headers.get('x-scope-orgid') ?? '';
    const app = tenants.get(tenant) ?? routesOf(tenant);
    tenants.set(tenant, app);
    return app.fetch(request);
  };
  const server = stack.use(await startHttpServer({ fetch }, { host: '127.0.0.1', port: 0 }));
  const open = stack.move();
  return { base: `http://127.0.0.1:${server.port}`, [Symbol.asyncDispose]: () => open.disposeAsync() };
}

function insertSql(tenant: string, batch: LogsBatch, labels: Map<bigint, string>): string {
  for (const { id, labels: text } of batch.series) labels.set(id, text);
  const attributes = textsOf(batch.attributes);
  const rows = textsOf(batch.line).map((line, row) => {
    const id = batch.streamId[row] ?? 0n;
    const ns = batch.timestampNs[row] ?? 0n;
    const text = (value: string | null | undefined): string => (value == null ? 'NULL' : sqlText(value));
    const values: Readonly<Record<string, string>> = {
      stream_id: String(id),
      timestamp: `make_timestamptz(${ns / 1000n})`,
      timestamp_ns: String(ns),
      line: sqlText(line),
      labels: text(labels.get(id)),
      attributes: text(withoutLevel(attributes[row])),
      site: "'test'",
    };
    return `(${[sqlText(tenant), ...columns.map(({ name }) => values[name] ?? 'NULL')].join(', ')})`;
  });
  return `INSERT INTO logs_all VALUES ${rows.join(', ')}`;
}

function withoutLevel(json: string | null | undefined): string | null {
  if (json == null) return null;
  const { detected_level: _, ...rest } = JSON.parse(json) as Record<string, string>;
  return Object.keys(rest).length === 0 ? null : JSON.stringify(rest);
}
