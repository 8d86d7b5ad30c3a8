import { join } from 'node:path';
import type { Hono } from 'hono';
import type { Logger } from '../../lake/base/log.ts';
import type { GatewayClock } from '../clock/gateway-clock.ts';
import type { GatewayConfig } from '../config.ts';
import { openLocalSource } from '../ship/export/bundle-source.ts';
import { readExported } from '../ship/export/export-state.ts';
import { exportRoutes } from '../ship/export/routes.ts';
import { readShipStatus } from '../ship/export/ship-status.ts';
import { openWalLedger } from '../ship/export/wal-ledger.ts';
import type { Storage } from './storage.ts';

/** What `firn ship` asks of a gateway that runs. */
export async function openExport(
  config: GatewayConfig,
  { clock, notBefore }: GatewayClock,
  logger: Logger,
  storage: Storage,
  stack: AsyncDisposableStack,
): Promise<Hono> {
  const { dataDir, ship } = config;
  const { ids, wal, sealer, merger, claims } = storage;
  const shared = { ...ids, wal, dataDir, clock, logger, claims };
  const ledger = stack.use(
    openWalLedger({
      ...{ ...shared, onReceipt: notBefore },
      ...{ sealNow: sealer.sealNow, consolidate: merger.runNow },
    }),
  );
  const source = await openLocalSource({ ...shared, ledger });
  const status = async () => {
    const nowUs = Math.round(clock.nowMs() * 1000);
    const exported = await readExported(dataDir);
    return readShipStatus(join(dataDir, 'wal.db'), { nowUs, newestMs: ship.newestMs, exported });
  };
  return exportRoutes({ source, ledger, status });
}
