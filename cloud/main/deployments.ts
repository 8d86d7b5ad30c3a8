import { rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Context } from 'hono';
import { asOfOf } from '../../lake/api/as-of.ts';
import { committedLogs, type LiveLogs } from '../../lake/api/loki/live-logs.ts';
import { systemClock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Logger } from '../../lake/base/log.ts';
import type { CompletenessSource } from '../../lake/completeness/completeness.ts';
import { gapRows } from '../../lake/completeness/gap-rows.ts';
import type { TenantId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { EvaluationPool } from '../../lake/scan/evaluation-pool.ts';
import { type LogScan, logScan } from '../../lake/scan/log-scan.ts';
import { createLogPool, type LogPool } from '../../lake/scan/log-threads/log-pool.ts';
import { type SeriesScan, seriesScan } from '../../lake/scan/series-scan.ts';
import { type Engine, openEngine } from '../../lake/sql/duckdb/engine.ts';
import { createSqlProcess, type SqlProcess } from '../../lake/sql-process/sql-process.ts';
import { tablesAsOf } from '../../lake/tables.ts';
import type { HeadOf } from '../catalog/table.ts';
import type { CloudConfig } from '../config.ts';
import { upToNow } from '../direct/shipping.ts';
import type { VirtualGateways } from '../direct/virtual-gateways.ts';
import type { Ingest } from '../ingest/ingest.ts';
import { meteredTables } from '../metering/metered-source.ts';
import type { Metering } from '../metering/open-metering.ts';
import { openRollups } from '../rollups/open-rollups.ts';
import { type CloudTables, openCloudTables } from '../tables/cloud-tables.ts';
import { restrictedTables } from '../tables/restricted-tables.ts';
import type { Restriction, TenantAccess } from '../tenants/access.ts';
import type { UserTableStore } from '../user-tables/user-table-store.ts';
import { openUserTables } from '../user-tables/user-tables.ts';

// What the queries of tenants are answered from.

const clock = systemClock;

/** What one tenant's queries are answered from. */
interface DeploymentBase {
  /** For what Firn itself asks: its own languages. */
  readonly engine: Engine;
  /** For what clients ask in SQL. */
  readonly sql: SqlProcess;
  readonly tables: CloudTables;
  readonly pool: LogPool;
  readonly evaluator: EvaluationPool;
  readonly gateways: CompletenessSource['gateways'];
  /** Calls the listener after each commit of log lines, until what it returns is called. */
  readonly onLogs: (listener: () => void) => () => void;
  readonly onTailError: (error: unknown) => void;
}

export interface Deployment extends DeploymentBase {
  readonly scan: SeriesScan;
  readonly logs: LogScan;
  readonly live: LiveLogs;
  readonly completeness: CompletenessSource;
}

export type Deployments = (access: TenantAccess) => Promise<Deployment>;

/** Empty: what a cloud that was killed has left there is of no use. */
function spillFolder({ dataDir }: CloudConfig, tenant: TenantId): string {
  const folder = join(dataDir, 'spill', tenant);
  rmSync(folder, { recursive: true, force: true });
  return folder;
}

/** One engine a tenant, opened when it is first asked: it may read this tenant's files and no others. */
export function openDeployments(
  config: CloudConfig,
  lake: {
    readonly store: ObjectStore;
    readonly locationOf: (key: string) => string;
    readonly headOf: HeadOf | undefined;
    readonly ingest: Pick<Ingest, 'shipping' | 'onCommit'>;
    readonly evaluator: EvaluationPool;
    readonly userTablesOf: (tenant: TenantId) => UserTableStore;
    readonly meterOf: Metering['meterOf'];
    readonly virtual: Pick<VirtualGateways, 'isWaiting'> | undefined;
  },
  logger: Logger,
  stack: AsyncDisposableStack,
): Deployments {
  const { store, locationOf, headOf, ingest, userTablesOf, evaluator, meterOf, virtual } = lake;
  const engines = stack.use(new AsyncDisposableStack());
  const pool = stack.use(createLogPool(config.logql));
  const open = async (tenant: TenantId): Promise<Deployment> => {
    const cacheDirectory = join(config.dataDir, 'cache', tenant);
    const folder = spillFolder(config, tenant);
    const { memoryBytesMax, threads, timeoutMs, spillBytesMax: bytesMax, rowsMax } = config.query;
    const settings = { directories: [store.localPath(tenant) ?? cacheDirectory], memoryBytesMax, threads };
    const spillTo = (name: string) => ({ spill: { directory: join(folder, name), bytesMax } });
    const engine = engines.use(await openEngine({ ...settings, ...spillTo('queries') }));
    const sql = engines.use(
      createSqlProcess({
        engine: { ...settings, ...spillTo('sql') },
        limits: { statementTimeoutMs: timeoutMs, rowsMax },
        ...{ logLevel: config.logLevel, logger: logger.with({ tenant }) },
      }),
    );
    const cloudTables = await openCloudTables({
      ...{ store, tenant, locationOf, headOf, clock },
      ...(store.localPath(tenant) === undefined && { cacheDirectory, cacheBytesMax: config.cache.bytesMax }),
      userTables: (acquire) => openUserTables({ tables: userTablesOf(tenant), store, clock, acquire }),
    });
    const tables = meteredTables(cloudTables, meterOf(tenant));
    const rollups = config.rollups === 'off' ? undefined : openRollups(tables);
    return deploymentOver({
      ...{ engine, sql, tables: { ...tables, rollups }, pool, evaluator },
      gateways: () => {
        const gateways = ingest.shipping(tenant);
        return virtual?.isWaiting(tenant) ? gateways : upToNow(gateways, clock.nowMs() * 1000);
      },
      onLogs: (listener) =>
        ingest.onCommit((commit) => {
          if (commit.tenant === tenant && commit.table === 'logs') listener();
        }),
      onTailError: (error) => logger.warn('a tail could not read', { tenant, error: messageOf(error) }),
    });
  };
  const opened = new Map<TenantId, Promise<Deployment>>();
  // As long as the key is known by this object, its restriction is.
  const confined = new WeakMap<Restriction, Deployment>();
  return async ({ tenant, restriction }) => {
    const opening = opened.get(tenant) ?? open(tenant);
    opened.set(tenant, opening);
    opening.catch(() => opened.delete(tenant));
    const whole = await opening;
    if (restriction === undefined) return whole;
    const deployment = confined.get(restriction) ?? confinedTo(restriction, whole);
    confined.set(restriction, deployment);
    return deployment;
  };
}

/** All that is answered from some tables. */
function deploymentOver(base: DeploymentBase): Deployment {
  const { engine, tables, pool, evaluator, gateways, onLogs, onTailError } = base;
  const logs = logScan({ tables, engine, pool });
  const live = committedLogs({
    ...{ logs, clock, onCommit: onLogs, onError: onTailError },
    refresh: () => tables.icebergTable('logs').load(),
  });
  const completeness = { gateways, gaps: gapRows(tables, engine, clock) };
  return { ...base, scan: seriesScan({ tables, engine, pool: evaluator }), logs, live, completeness };
}

/** What a key that sees some rows only is answered from. */
function confinedTo(restriction: Restriction, whole: DeploymentBase): Deployment {
  const { sites } = restriction;
  return deploymentOver({
    ...whole,
    tables: restrictedTables(whole.tables, restriction),
    gateways: () => whole.gateways().filter(({ site }) => !sites || sites.includes(site)),
  });
}

/** The deployment as it was, or without its rollups, where a request asks for that. */
export function asAsked(deployment: Deployment, c: Context): Deployment {
  const asOf = asOfOf(c);
  const samplesOnly = c.req.query('rollups') === 'off';
  if (!asOf && !samplesOnly) return deployment;
  const { engine, pool, evaluator } = deployment;
  const asked = asOf ? tablesAsOf(deployment.tables, asOf) : { rollups: undefined };
  const tables = { ...deployment.tables, ...asked };
  return {
    ...deployment,
    tables,
    scan: seriesScan({ tables, engine, pool: evaluator }),
    logs: logScan({ tables, engine, pool }),
  };
}
