import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Hono } from 'hono';
import { buildInfo } from '../../lake/api/build-info.ts';
import { startHttpServer } from '../../lake/api/http-server.ts';
import { lokiRoutes } from '../../lake/api/loki/routes.ts';
import { lokiPushRoutes } from '../../lake/api/receive/loki-push.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { createLogger } from '../../lake/base/log.ts';
import { defaultLogqlLimits } from '../../lake/logql/limits.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { tenantId } from '../../lake/model/ids.ts';
import { filesSql } from '../../lake/parquet/files-sql.ts';
import { openParquetjsWriter } from '../../lake/parquet/parquetjs-writer.ts';
import { lokiPushLimits } from '../../lake/receive/loki-push/limits.ts';
import { createSeriesCache } from '../../lake/receive/series-cache.ts';
import { logScan } from '../../lake/scan/log-scan.ts';
import { createLogPool } from '../../lake/scan/log-threads/log-pool.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { openEngine } from '../../lake/sql/duckdb/engine.ts';
import type { ImmutableFile, Tables } from '../../lake/tables.ts';

// Push and query over HTTP, on a file a push, a tenant for each X-Scope-OrgID, as the scripts want it.

export interface LogqlServer extends AsyncDisposable {
  readonly base: string;
}

/** No labels and levels are added to what it receives: the cases are about what was sent. */
export async function startLogqlServer(): Promise<LogqlServer> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), 'firn-logql-'));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const engine = stack.use(await openEngine({ directories: [folder], memoryBytesMax: 1e9, threads: 2 }));
  const pool = stack.use(createLogPool({ threads: 1, cacheBytesMax: 64e6 }));
  const writer = stack.use(openParquetjsWriter());
  const filesOf = new Map<string, ImmutableFile[]>();
  const labels = new Map<bigint, string>();
  const append = async (tenant: string, batches: readonly Batch[]): Promise<void> => {
    for (const batch of batches) {
      if (batch.signal !== 'logs' || batch.rows === 0) continue;
      for (const { id, labels: text } of batch.series) labels.set(id, text);
      const count = [...filesOf.values()].flat().length;
      const written = await writer.write({
        ...{ signal: 'logs', site: 'test', batches: [batch], labelsOf: () => labels },
        pathOf: (day) => join(folder, `${count}-${day}.parquet`),
      });
      filesOf.set(tenant, [
        ...(filesOf.get(tenant) ?? []),
        ...written.map(({ path, bytes }) => ({ path, bytes })),
      ]);
    }
  };
  const routesOf = (tenant: string): Hono => {
    const tables: Tables = {
      tenant: tenantId('conformance'),
      open: async () => {
        const files = filesOf.get(tenant) ?? [];
        const from = filesSql(
          tableSchemas.logs,
          files.map(({ path }) => path),
        );
        return {
          ...{ from, parts: { files, rest: undefined } },
          ...{ filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined },
        };
      },
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
        levels: false,
      }),
    );
    const context = () => ({ logs: logScan({ tables, engine, pool }) });
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
