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

/** Gateways of all tenants that were heard of lately. */
export interface Online {
  readonly gateways: number;
  /** The longest between what one has shipped last and what it knows to be committed. */
  readonly lagSecondsMax: number;
  /** Rows that wait on them. */
  readonly backlogRows: number;
}

interface Heard {
  readonly atMs: number;
  readonly lagSeconds: number;
  readonly backlogRows: number;
}

export interface Reports extends AsyncDisposable {
  take(who: DeviceAccess, report: GatewayReport, address: string): void;
  /** Those that this cloud has heard of in the last `withinMs`. */
  online(withinMs: number): Online;
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
  const heard = new Map<string, Heard>();
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
      heard.set(`${tenant}/${gateway}`, heardOf(report, clock.monotonicMs()));
    },
    online: (withinMs) => {
      const sinceMs = clock.monotonicMs() - withinMs;
      for (const [key, { atMs }] of heard) if (atMs < sinceMs) heard.delete(key);
      const all = [...heard.values()];
      return {
        gateways: all.length,
        lagSecondsMax: all.reduce((most, { lagSeconds }) => Math.max(most, lagSeconds), 0),
        backlogRows: all.reduce((sum, each) => sum + each.backlogRows, 0),
      };
    },
    flush,
    [Symbol.asyncDispose]: async () => {
      await writing[Symbol.asyncDispose]();
      await flush().catch(() => undefined); // What gateways say comes again.
    },
  };
}

function heardOf({ shippedUs, committedUs, readings }: GatewayReport, atMs: number): Heard {
  const lagUs = shippedUs === undefined || committedUs === undefined ? 0 : shippedUs - committedUs;
  return { atMs, lagSeconds: Math.max(0, lagUs / 1e6), backlogRows: readings.ship_backlog_rows ?? 0 };
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
