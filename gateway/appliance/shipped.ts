import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { GatewayConfig } from '../config.ts';
import { readShipStatus } from '../ship/export/ship-status.ts';

/** How many shipments of this epoch the store has; undefined where no store is set or nothing was stored yet. */
export function shippedSoFar({ store, dataDir, ship }: GatewayConfig): number | undefined {
  const walPath = join(dataDir, 'wal.db');
  if (store.kind === 'none' || !existsSync(walPath)) return undefined;
  const exported = { has: () => false };
  const { receipt, numbered } = readShipStatus(walPath, {
    nowUs: Date.now() * 1000,
    newestMs: ship.newestMs,
    exported,
  });
  return (receipt?.number ?? 0) + numbered.shipped;
}
