import type { Clock } from '../../lake/base/clock.ts';
import { FirnError } from '../../lake/base/errors.ts';
import { createRate } from '../../lake/base/rate.ts';
import type { LimitName, TenantLimits } from './limits.ts';
import { hourMs, type Usage } from './usage.ts';
import type { PeakName } from './use.ts';

/** Counts what one tenant uses, and refuses what is beyond its limits: FirnError `limit` that says when to come again. */
export interface TenantMeter {
  /** As they are now. */
  readonly limits: TenantLimits;
  /** Before a request that brings so many bytes is taken. */
  admit(bytes: number): void;
  /** What of it is stored. */
  received(rows: number): void;
  /** Before a query; what it returns is to be called at its end, once. */
  startQuery(): () => void;
  /** Size of the files that a query looks into. */
  scanned(bytes: number): void;
  /** What has come into a table of the tenant. */
  ingested(rows: number, bytes: number): void;
  peak(name: PeakName, value: number): void;
}

/** When to come again that met a limit which time alone does not mend. */
const storedRetryMs = 300_000;
const queriesRetryMs = 1_000;

export function createTenantMeter(options: {
  readonly tenant: string;
  readonly limitsOf: () => TenantLimits;
  readonly usage: Usage;
  readonly clock: Clock;
}): TenantMeter {
  const { tenant, limitsOf, usage, clock } = options;
  const { monotonicMs } = clock;
  const rows = createRate(() => limitsOf().ingestRowsPerSecondMax, monotonicMs);
  const bytes = createRate(() => limitsOf().ingestBytesPerSecondMax, monotonicMs);
  let queries = 0;
  let storedBytes = 0;
  const refuse = (name: LimitName, retryAfterMs: number, hint: string): never => {
    usage.add(tenant, { refused_requests: 1 });
    throw new FirnError({
      ...{ code: 'limit', operation: 'use the cloud', subject: name, retryAfterMs, hint },
      message: `this tenant has met its limit ${name} = ${limitsOf()[name]}; ${hint}`,
    });
  };
  return {
    get limits() {
      return limitsOf();
    },
    admit: (sentBytes) => {
      const { storedBytesMax } = limitsOf();
      if (storedBytesMax > 0 && storedBytes >= storedBytesMax)
        refuse('storedBytesMax', storedRetryMs, 'keep data for less time, or ask the operator for more');
      const slower = 'send more slowly, or ask the operator for more';
      const [rowsWaitMs, bytesWaitMs] = [rows.waitMs(), bytes.waitMs()];
      if (rowsWaitMs > 0) refuse('ingestRowsPerSecondMax', rowsWaitMs, slower);
      if (bytesWaitMs > 0) refuse('ingestBytesPerSecondMax', bytesWaitMs, slower);
      bytes.take(sentBytes);
      usage.add(tenant, { received_bytes: sentBytes });
    },
    received: (stored) => {
      rows.take(stored);
      usage.add(tenant, { received_rows: stored });
    },
    startQuery: () => {
      const { queriesMax, scannedBytesPerHourMax } = limitsOf();
      if (queriesMax > 0 && queries >= queriesMax)
        refuse('queriesMax', queriesRetryMs, 'ask fewer at a time, or ask the operator for more');
      if (scannedBytesPerHourMax > 0 && usage.thisHour(tenant).scanned_bytes >= scannedBytesPerHourMax)
        refuse(
          'scannedBytesPerHourMax',
          hourMs - (clock.nowMs() % hourMs),
          'ask for shorter times or by metric name, wait for the next hour, or ask the operator for more',
        );
      queries++;
      usage.add(tenant, { queries: 1 });
      return () => void queries--;
    },
    scanned: (read) => usage.add(tenant, { scanned_bytes: read }),
    ingested: (added, addedBytes) => usage.add(tenant, { ingested_rows: added, ingested_bytes: addedBytes }),
    peak: (name, value) => {
      if (name === 'stored_bytes') storedBytes = value;
      usage.add(tenant, { [name]: value });
    },
  };
}
