import type { Clock } from '../../lake/base/clock.ts';
import type { GatewayId, SiteId, TenantId } from '../../lake/model/ids.ts';
import type { Wal } from '../wal/wal.ts';
import { openProgressReader } from './progress.ts';

/** Gives numbers to segments: whoever ships or exports them does it through this. */
export interface Composer extends Disposable {
  /** Returns the shipment's number. Throws FirnError `conflict` when a segment is gone or has one. */
  compose(paths: readonly string[]): Promise<number>;
}

export function createComposer(options: {
  readonly wal: Wal;
  readonly clock: Clock;
  readonly tenant: TenantId;
  readonly site: SiteId;
  readonly gateway: GatewayId;
}): Composer {
  const { wal, clock, tenant, site, gateway } = options;
  const reader = openProgressReader(wal.path);
  return {
    compose: (paths) => {
      const composedUs = Math.round(clock.nowMs() * 1000);
      const progress = reader.progress(composedUs, paths);
      return wal.compose({ identity: { tenant, site, gateway }, composedUs, progress, paths });
    },
    [Symbol.dispose]: () => reader[Symbol.dispose](),
  };
}
