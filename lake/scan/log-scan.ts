import type { LogqlEvaluator } from '../logql/query.ts';
import type { StoredLogs } from '../logql/source.ts';
import type { TenantId } from '../model/ids.ts';
import { createLogFiles } from './log-files/log-file.ts';
import type { LogPool } from './log-threads/log-pool.ts';
import { type LogViewsOptions, logViews } from './log-view.ts';
import { viewLogs } from './view-logs.ts';

/** The logs of one tenant as LogQL sees them: lines, counts, and what labels and streams there are. */
export interface LogScan extends StoredLogs {
  /** Who answers whole queries elsewhere; undefined: whoever asks, here. */
  readonly evaluator: LogqlEvaluator | undefined;
  readonly tenant: TenantId;
}

export interface LogScanOptions extends LogViewsOptions {
  /** Threads that answer queries. */
  readonly pool?: LogPool;
}

/** For what is read on the thread that asks. */
const ownBytesMax = 16 * 1024 * 1024;

export function logScan(options: LogScanOptions): LogScan {
  const views = logViews(options);
  const files = createLogFiles({ bytesMax: ownBytesMax });
  return {
    ...viewLogs(views, files),
    tenant: options.tables.tenant,
    evaluator: options.pool?.evaluatorOf(views, options.tables.tenant),
  };
}
