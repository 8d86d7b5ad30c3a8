import { Hono } from 'hono';
import type { OpenVirtualGateway, VirtualGatewayOptions } from '../../lake/virtual-gateway.ts';
import { createGatewayClock } from '../clock/gateway-clock.ts';
import { type GatewayConfig, loadGatewayConfig } from '../config.ts';
import { lockFolder } from '../folder-lock.ts';
import { openReceiving } from './receivers.ts';
import { openStorage, shipTheRest } from './storage.ts';

/** A row is sealed within so long after it came, and then is in the backlog until it is shipped. */
const sealedMsMax = 5_000;

/** The same receivers, log, sealer and shipper as on site; it listens nowhere. */
export const openVirtualGateway: OpenVirtualGateway = async (options) => {
  const { logger, onDamage, onStored, guard, admit, openReceipt } = options;
  const config = configOf(options);
  await using stack = new AsyncDisposableStack();
  stack.use(lockFolder(config.dataDir));
  const gatewayClock = createGatewayClock({ ...config.clock, logger });
  const { clock } = gatewayClock;
  const shipsTo = { session: undefined, openReceipt };
  const storage = await openStorage(config, gatewayClock, logger, shipsTo, onDamage, stack);
  stack.defer(() => shipTheRest(storage, clock));
  const { ids, disk, sealer, shipper } = storage;
  let storedAtMs = clock.monotonicMs();
  const app = new Hono();
  const append: typeof disk.append = async (...batches) => {
    storedAtMs = Number.POSITIVE_INFINITY;
    try {
      await disk.append(...batches);
      onStored(batches.reduce((sum, { rows }) => sum + rows, 0));
    } finally {
      storedAtMs = clock.monotonicMs();
    }
  };
  const { receivers } = openReceiving(config, gatewayClock, { ids, append, admit, guard }, app);
  const open = stack.move();
  const hasBacklog = (): boolean =>
    shipper === undefined || shipper.status.backlog.segments > 0 || sealer.status.lastError !== undefined;
  return {
    app,
    write: receivers.direct['POST /api/v1/write'],
    otlp: receivers.otlp.receive,
    isWaiting: () => hasBacklog() || clock.monotonicMs() - storedAtMs < sealedMsMax,
    empty: async () => {
      await shipTheRest(storage, clock);
      return !hasBacklog();
    },
    [Symbol.asyncDispose]: () => open.disposeAsync(),
  };
};

/** A gateway as it is by default, but for what the cloud knows better. */
function configOf(options: VirtualGatewayOptions): GatewayConfig {
  const { tenant, site, gateway, dataDir, store, bodyBytesMax, diskBytesMax } = options;
  const config = loadGatewayConfig([], {});
  return {
    ...config,
    ...{ tenant, site, gateway, dataDir, store },
    http: { ...config.http, bodyBytesMax },
    // Nobody asks here: what the cloud has may go.
    seal: { ...config.seal, localRetentionHours: 0.01 },
    disk: { ...config.disk, budgetBytes: diskBytesMax, rollUpAt: never, dropAt: never },
    clock: { ...config.clock, trust: 'always' },
  };
}

/** No share of a budget is as much. */
const never = Number.MAX_VALUE;
