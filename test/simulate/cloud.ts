import { openTables } from '../../cloud/catalog/table.ts';
import type { CommitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { ingestLimits, openTenantIngest } from '../../cloud/ingest/tenant-ingest.ts';
import { createLogger } from '../../lake/base/log.ts';
import { plainReceipts } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { locationOf, seededUuid, tenant } from '../contract/lake-fixtures.ts';
import { dropRequests, type Life, type World } from './world.ts';

/** An ingest process: Firn's own, with the simulation's clock and network. It looks for shipments until it is killed. */
export interface SimulatedCloud {
  readonly life: Life;
  kill(): void;
}

export interface CloudOptions {
  readonly world: World;
  readonly life: Life;
  readonly store: ObjectStore;
  readonly commitShipments: CommitShipments;
}

const pollMs = 2000;
const tableLimits = { smallManifestsMax: 4, manifestEntriesMax: 20, snapshotsMax: 8 };

export function startCloud({ world, life, store, commitShipments }: CloudOptions): SimulatedCloud {
  const clock = world.clockOf(life);
  const ingest = openTenantIngest({
    receipts: plainReceipts,
    tenant,
    tables: openTables({ store, tenant, locationOf, clock, limits: tableLimits }),
    logger: createLogger('silent'),
    limits: { ...ingestLimits, shipmentsPerRoundMax: 8, marksLagMax: 4 },
    verify: 'sha256',
    commitShipments,
    commitOptions: { random: world.random, uuid: seededUuid(world.random) },
  });
  const loop = async (): Promise<void> => {
    while (!life.dead) {
      await ingest.round().catch(() => undefined); // what went wrong is tried again
      await clock.sleep(pollMs);
    }
  };
  void loop();
  return {
    life,
    kill: () => {
      life.dead = true;
      dropRequests(world, life);
    },
  };
}
