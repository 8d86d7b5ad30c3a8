import { type Context, Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { asOfOf } from '../../lake/api/as-of.ts';
import { limitBody } from '../../lake/api/body-limit.ts';
import type { HttpStatement } from '../../lake/api/sql/routes.ts';
import { type ErrorCode, FirnError, messageOf } from '../../lake/base/errors.ts';
import { type TableName, tableNames } from '../../lake/model/table-name.ts';
import { emptyRows } from '../../lake/schema/duckdb-types.ts';
import { tableSchemas } from '../../lake/schema/tables.ts';
import { SqlError } from '../../lake/sql/errors.ts';
import type { Prune, Tables } from '../../lake/tables.ts';
import { addTag, removeTag, type Tag, tagsOf } from '../catalog/tags.ts';
import type { CloudTables } from './cloud-tables.ts';
import { type PlanJson, planJson, planText } from './print-plan.ts';

export interface TableRouteOptions {
  readonly bodyBytesMax: number;
  /** Whose tables a request is about; authentication has been done before. */
  readonly tablesOf: (c: Context) => Promise<CloudTables>;
  /** Runs a statement over other tables than the tenant's own. */
  readonly runSql: (c: Context, tables: Tables, statement: HttpStatement) => Promise<Response>;
}

/**
 * `GET /api/v1/firn/plan?table=...` and `POST /api/v1/firn/plan` with SQL: which files a query would read, and what
 * spares it the others; as JSON, or as text with `format=text`. `/api/v1/firn/tables/:table/tags`: names of states that
 * are kept.
 */
export function tableRoutes(options: TableRouteOptions): Hono {
  const app = new Hono();
  app.onError((error, c) => failed(c, error));
  app.get('/api/v1/firn/plan', async (c) => {
    const table = signalOf(c.req.query('table') ?? '');
    const prune = pruneOf(c);
    const plan = await (await options.tablesOf(c)).plan(table, prune);
    return answer(c, [planJson(table, prune, plan)]);
  });
  app.post('/api/v1/firn/plan', limitBody(options.bodyBytesMax), (c) => answerPlanOfSql(c, options));
  tagRoutes(app, options);
  return app;
}

const answer = (c: Context, plans: readonly PlanJson[]): Response =>
  c.req.query('format') === 'text' ? c.text(plans.map(planText).join('\n')) : c.json({ plans });

/** The statement is run over tables that have no rows, and that note what is asked of them. */
async function answerPlanOfSql(c: Context, options: TableRouteOptions): Promise<Response> {
  const body = await c.req.text();
  const sql = c.req.header('content-type')?.includes('json') ? sqlIn(body) : body;
  const tables = await options.tablesOf(c);
  const asOf = asOfOf(c);
  const plans: PlanJson[] = [];
  const noting: Tables = {
    ...tables,
    open: async (table, asked) => {
      const prune = { ...(asOf && { asOf }), ...asked };
      plans.push(planJson(table, prune, await tables.plan(table, prune)));
      const from = `(${emptyRows(tableSchemas[table])})`;
      return { from, filesConsidered: 0, filesPruned: 0, [Symbol.asyncDispose]: async () => undefined };
    },
  };
  const { signal } = c.req.raw;
  const ran = await options.runSql(c, noting, { sql, type: 'application/json', signal });
  if (!ran.ok) return ran;
  await ran.text();
  return answer(c, plans);
}

function sqlIn(body: string): string {
  try {
    const { sql } = JSON.parse(body) as { sql?: unknown };
    if (typeof sql === 'string') return sql;
  } catch {
    // Said below.
  }
  throw new SqlError('22023', 'the body has no text in its field "sql"');
}

function signalOf(name: string): TableName {
  const signal = tableNames.find((each) => each === name);
  if (signal !== undefined) return signal;
  throw invalid('table', `there is no table ${JSON.stringify(name)}; there are ${tableNames.join(', ')}`);
}

function pruneOf(c: Context): Prune {
  const { start, end, name, series_id: series, trace_id: traceId } = c.req.query();
  const asOf = asOfOf(c);
  if (series !== undefined && !/^-?\d{1,19}$/.test(series))
    throw invalid('series_id', `series_id ${JSON.stringify(series)} is not a 64-bit number`);
  return {
    ...(start !== undefined && { fromUs: timeOf('start', start) }),
    ...(end !== undefined && { toUs: timeOf('end', end) }),
    ...(name !== undefined && { name }),
    ...(series !== undefined && { seriesId: BigInt(series) }),
    ...(traceId !== undefined && { traceId }),
    ...(asOf && { asOf }),
  };
}

/** RFC 3339 or seconds since the Unix epoch, as microseconds. */
function timeOf(parameter: string, text: string): number {
  const ms = /^-?\d+(\.\d+)?$/.test(text) ? Number(text) * 1000 : Date.parse(text);
  if (Number.isFinite(ms)) return Math.round(ms * 1000);
  throw invalid(parameter, `${parameter} ${JSON.stringify(text)} is not a time`);
}

function tagRoutes(app: Hono, { tablesOf }: TableRouteOptions): void {
  const path = '/api/v1/firn/tables/:table/tags';
  const tableOf = async (c: Context) =>
    (await tablesOf(c)).icebergTable(signalOf(c.req.param('table') ?? ''));
  app.get(path, async (c) => c.json({ tags: (await tagsOf(await tableOf(c))).map(tagJson) }));
  app.put(`${path}/:name`, async (c) => {
    const days = c.req.query('max_age_days');
    if (days !== undefined && !/^[1-9]\d{0,5}$/.test(days))
      throw invalid('max_age_days', 'max_age_days is a whole number of days');
    const maxAgeMs = days === undefined ? undefined : Number(days) * 86_400_000;
    const tag = await addTag(await tableOf(c), c.req.param('name'), { asOf: asOfOf(c), maxAgeMs });
    return c.json(tagJson(tag));
  });
  app.delete(`${path}/:name`, async (c) => {
    if (await removeTag(await tableOf(c), c.req.param('name'))) return c.body(null, 204);
    throw new FirnError({
      code: 'not-found',
      operation: 'remove tag',
      subject: c.req.param('name'),
      message: `there is no tag ${c.req.param('name')}`,
    });
  });
}

const tagJson = ({ name, snapshot, maxAgeMs }: Tag) => ({
  name,
  snapshot: String(snapshot.snapshotId),
  committed: new Date(snapshot.timestampMs).toISOString(),
  ...(maxAgeMs !== undefined && { maxAgeDays: maxAgeMs / 86_400_000 }),
});

const statuses: Partial<Record<ErrorCode, ContentfulStatusCode>> = {
  invalid: 400,
  'not-found': 404,
  conflict: 409,
  limit: 422,
  unavailable: 503,
};

function failed(c: Context, error: unknown): Response {
  const hint = error instanceof FirnError || error instanceof SqlError ? error.hint : undefined;
  const code =
    error instanceof SqlError ? error.sqlstate : error instanceof FirnError ? error.code : 'internal';
  const status =
    error instanceof SqlError ? 400 : (error instanceof FirnError && statuses[error.code]) || 500;
  return c.json({ error: { code, message: messageOf(error), ...(hint !== undefined && { hint }) } }, status);
}

const invalid = (subject: string, message: string): FirnError =>
  new FirnError({ code: 'invalid', operation: 'read parameter', subject, message });
