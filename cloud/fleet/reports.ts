import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { Clock } from '../../lake/base/clock.ts';
import type { Logger } from '../../lake/base/log.ts';
import { repeat } from '../../lake/base/repeat.ts';
import type { GatewayReport } from '../../provisioning/contract.ts';
import type { FleetDatabase } from './fleet-database.ts';
import type { DeviceAccess } from './sessions.ts';

// What gateways say of themselves. It is kept here and written every few seconds for all of them together: one by one, the
// reports of ten thousand would be hundreds of transactions a second. What is lost by a crash comes again.

const flushMs = 5_000;
/** Rows of one statement. */
const rowsPerInsert = 200;

export interface Reports extends AsyncDisposable {
  take(who: DeviceAccess, report: GatewayReport, address: string): void;
  /** Writes what there is now. */
  flush(): Promise<void>;
}

interface ReportRow {
  readonly tenant: string;
  readonly gateway: string;
  readonly seen_ms: number;
  readonly address: string;
  readonly report: string;
}

export function openReports(options: {
  readonly db: FleetDatabase;
  readonly clock: Clock;
  readonly logger: Logger;
}): Reports {
  const { db, clock, logger } = options;
  const waiting = new Map<string, ReportRow>();
  const flush = async (): Promise<void> => {
    const rows = [...waiting.values()];
    waiting.clear();
    for (let from = 0; from < rows.length; from += rowsPerInsert) {
      await write(db, rows.slice(from, from + rowsPerInsert));
      await yieldToOthers();
    }
  };
  const failing = 'reports of gateways are not written';
  const writing = repeat({ clock, logger, everyMs: flushMs, failing }, flush);
  return {
    take: ({ tenant, gateway }, report, address) => {
      const row = { tenant, gateway, seen_ms: clock.nowMs(), address, report: JSON.stringify(report) };
      waiting.set(`${tenant}/${gateway}`, row);
    },
    flush,
    [Symbol.asyncDispose]: async () => {
      await writing[Symbol.asyncDispose]();
      await flush().catch(() => undefined); // What gateways say comes again.
    },
  };
}

async function write(db: FleetDatabase, rows: readonly ReportRow[]): Promise<void> {
  await db
    .insertInto('gateway_report')
    .values(rows)
    .onConflict((conflict) =>
      conflict.columns(['tenant', 'gateway']).doUpdateSet((each) => ({
        seen_ms: each.ref('excluded.seen_ms'),
        address: each.ref('excluded.address'),
        report: each.ref('excluded.report'),
      })),
    )
    .execute();
}
