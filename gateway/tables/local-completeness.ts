import type { Clock } from '../../lake/base/clock.ts';
import type { CompletenessSource, GapRow } from '../../lake/completeness/completeness.ts';
import { gapRows } from '../../lake/completeness/gap-rows.ts';
import { signals } from '../../lake/model/batch.ts';
import type { GatewayId, SiteId } from '../../lake/model/ids.ts';
import { classOfSignal } from '../../lake/model/stream-class.ts';
import type { Engine } from '../../lake/sql/duckdb/engine.ts';
import type { Tables } from '../../lake/tables.ts';
import { openWalReader } from '../wal/reader.ts';

/**
 * How complete a gateway's own answers are: everything that it has received is here, but for its gaps, and for what has
 * been removed since the cloud has it.
 */
export function localCompleteness(options: {
  readonly walPath: string;
  readonly site: SiteId;
  readonly gateway: GatewayId;
  readonly tables: Tables;
  readonly engine: Engine;
  readonly clock: Clock;
}): CompletenessSource & Disposable {
  const { walPath, site, gateway, tables, engine, clock } = options;
  const reader = openWalReader(walPath);
  const recorded = gapRows(tables, engine, clock);
  const onlyInLake = (): GapRow[] =>
    signals.flatMap((signal) => {
      const toUs = reader.localFloorUs(signal);
      if (toUs === undefined) return [];
      const what = { signal, class: classOfSignal(signal), kind: 'gap', reason: 'only-in-the-lake' } as const;
      return [{ ...what, rows: null, detail: null, fromUs: Number.MIN_SAFE_INTEGER, toUs, gateway, site }];
    });
  return {
    gateways: () => {
      const nowUs = Math.round(clock.nowMs() * 1000);
      const here = { headUs: nowUs, watermarkUs: nowUs, pending: [] };
      const progress = Object.fromEntries(signals.map((signal) => [signal, here]));
      return [{ gateway, site, progress, lastHeardUs: nowUs }];
    },
    gaps: async () => [...(await recorded()), ...onlyInLake()],
    [Symbol.dispose]: () => reader[Symbol.dispose](),
  };
}
