import type { LogqlEvaluator } from '../logql/query.ts';
import type { LogIndex, LogSource } from '../logql/source.ts';
import type { TenantId } from '../model/ids.ts';
import { createLogFiles } from './log-files/log-file.ts';
import { logIndex } from './log-index.ts';
import type { LogPool } from './log-threads/log-pool.ts';
import { type LogViewsOptions, logViews } from './log-view.ts';
import { viewLogs } from './view-logs.ts';

/** The logs of one tenant as LogQL sees them: lines, counts, and what labels and streams there are. */
export interface LogScan extends LogSource, LogIndex {
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
  const index = logIndex(options);
  const files = createLogFiles({ bytesMax: ownBytesMax });
  return {
    ...viewLogs(views, files),
    ...index,
    tenant: options.tables.tenant,
    evaluator: options.pool?.evaluatorOf({ views, index }, options.tables.tenant),
  };
}
