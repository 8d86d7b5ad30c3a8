import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
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

/** Whether shipments leave now: the gateway's own health figures go up every few seconds. */
export async function isShipping(config: GatewayConfig): Promise<boolean> {
  const before = shippedSoFar(config);
  await delay(20_000);
  return (shippedSoFar(config) ?? 0) > (before ?? 0);
}
