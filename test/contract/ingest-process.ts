import { setImmediate } from 'node:timers/promises';
import { openTable, openTables } from '../../cloud/catalog/table.ts';
import type { CommitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { type IngestLimits, ingestLimits, openTenantIngest } from '../../cloud/ingest/tenant-ingest.ts';
import { createLogger } from '../../lake/base/log.ts';
import { signals } from '../../lake/model/batch.ts';
import type { ManifestSegment } from '../../lake/model/manifest.ts';
import { plainReceipts } from '../../lake/model/receipt.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { locationOf, seededUuid, stillClock, tenant } from './lake-fixtures.ts';
import { type MemoryStore, watchedStore } from './memory-store.ts';

// Ingest processes whose every request waits for a seeded scheduler, and that are killed now and then, before or after
// the request they were waiting for took effect.

/** Requests wait here until the scheduler lets one of them go. */
export function turnstile(random: () => number): {
  pass(): Promise<void>;
  letOneGo(): boolean;
} {
  const waiting: (() => void)[] = [];
  return {
    pass: () => new Promise((resolve) => waiting.push(resolve)),
    letOneGo: () => {
      const [go] = waiting.splice(Math.floor(random() * waiting.length), 1);
      go?.();
      return go !== undefined;
    },
  };
}

/** A process that ingests until told to stop; when it is killed, the next one starts with nothing in memory. */
export function ingester(
  inner: ObjectStore,
  pass: () => Promise<void>,
  mayCrash: () => 'before' | 'after' | undefined,
  commitWith: CommitShipments,
  random: () => number,
  limits: Partial<IngestLimits> = {},
): { idleRounds: () => number; disturb: () => void; stop: () => void; ended: Promise<void> } {
  let stopped = false;
  let idle = 0;
  const life = async (): Promise<void> => {
    let dead = false;
    const die = (): never => {
      throw new Error('killed');
    };
    const store = watchedStore(
      inner,
      async () => {
        await pass();
        const crash = dead ? 'before' : mayCrash();
        dead ||= crash !== undefined;
        if (crash === 'before') die();
      },
      () => (dead ? die() : undefined),
    );
    const clock = stillClock();
    const tableLimits = { smallManifestsMax: 4, manifestEntriesMax: 6, snapshotsMax: 8 };
    const ingest = openTenantIngest({
      receipts: plainReceipts,
      tenant,
      tables: openTables({ store, tenant, locationOf, clock, limits: tableLimits }),
      logger: createLogger('silent'),
      limits: {
        ...ingestLimits,
        ...{
          shipmentsPerRoundMax: 3,
          marksLagMax: 3,
          earlierManifestsPerRoundMax: 2,
          receiptIntervalMsMin: 0,
        },
        ...limits,
      },
      verify: 'sha256',
      commitShipments: commitWith,
      commitOptions: { random, uuid: seededUuid(random) },
    });
    while (!stopped) {
      const { commits, shipments, more, failure } = await ingest.round();
      if (failure !== undefined) throw failure;
      idle = commits.length + shipments === 0 && !more ? idle + 1 : 0;
    }
  };
  const ended = (async () => {
    while (!stopped) await life().catch(() => setImmediate());
  })();
  return {
    idleRounds: () => idle,
    disturb: () => {
      idle = 0;
    },
    stop: () => {
      stopped = true;
    },
    ended,
  };
}

/** The model: each segment is in its table exactly once. */
export async function wrongIn(
  store: MemoryStore,
  segments: readonly Pick<ManifestSegment, 'key' | 'signal'>[],
): Promise<string[]> {
  const wrong: string[] = [];
  for (const signal of signals) {
    const table = openTable({ store, tenant, signal, locationOf, clock: stillClock() });
    const state = await table.load();
    const manifests = await table.manifestsOf(state);
    const entries = (await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)))).flat();
    const times = new Map<string, number>();
    for (const { file } of entries) times.set(file.path, (times.get(file.path) ?? 0) + 1);
    const expected = segments.filter((each) => each.signal === signal);
    for (const { key } of expected) {
      const count = times.get(locationOf(key)) ?? 0;
      if (count !== 1) wrong.push(`${key} is in the table ${count} times`);
    }
    if (entries.length < expected.length) wrong.push(`${signal} has too few files`);
  }
  return wrong;
}
