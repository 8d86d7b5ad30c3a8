import { commit, type Propose } from '../../../cloud/catalog/commit.ts';
import type { DataFile } from '../../../cloud/catalog/manifest-file.ts';
import { type IcebergTable, openTable } from '../../../cloud/catalog/table.ts';
import { compactOnce } from '../../../cloud/maintain/compact.ts';
import { leaseKeeper } from '../../../cloud/maintain/lease.ts';
import { maintainDefaults } from '../../../cloud/maintain/maintain.ts';
import type { Merge } from '../../../cloud/maintain/merge-job.ts';
import {
  type ReplaceFiles,
  replaceFiles,
  snapshotWithProperties,
} from '../../../cloud/maintain/replace-files.ts';
import { listPendingDeletes, requestDelete } from '../../../cloud/maintain/row-deletes.ts';
import {
  keepHouse,
  mergeTurn,
  type TableLimits,
  type TableWork,
} from '../../../cloud/maintain/table-work.ts';
import { FirnError, hasCode } from '../../../lake/base/errors.ts';
import type { ObjectStore } from '../../../lake/object-store/object-store.ts';
import { tableSchemas } from '../../../lake/schema/tables.ts';
import { locationOf, someFile, tenant } from '../../contract/lake-fixtures.ts';
import { Killed, type ModelWorld } from './model-world.ts';

// What works on the table: each process does its work once, however often it is killed. A data file is text, one row a
// line; a row that ends in `!` is what a tenant asks to delete.

/** What the table should hold, as those who wrote know it. */
export interface Model {
  /** Rows whose commit was acknowledged. */
  readonly committed: Set<string>;
  /** Rows that may be there: of commits that were begun. */
  readonly begun: Set<string>;
  /** Rows that a finished request deleted, which must not be there; and those of begun ones, which may be missing. */
  readonly deleted: Set<string>;
  readonly deleting: Set<string>;
  readonly wrong: string[];
  /** Views, and what else must not sleep for as long as it likes. */
  readonly openReaders: Set<{ readonly sinceMs: number }>;
  readonly counts: { merges: number; superseded: number; reads: number; swept: number; expired: number };
}

/** Where a test puts something broken. */
export interface Variant {
  readonly replaceFiles?: ReplaceFiles;
  readonly limits?: Partial<TableLimits>;
  /** How often housekeepers, readers and those that sleep do their work; more of it finds more, and takes longer. */
  readonly turns?: {
    readonly housekeepers: readonly number[];
    readonly readers: readonly number[];
    readonly sleepers: readonly number[];
  };
}

export const graceMs = 1_000;
const tableLimits = {
  smallManifestsMax: 3,
  manifestEntriesMax: 6,
  snapshotsMax: 6,
  commitAttemptsMax: 60,
  metadataLogMax: 8,
  rediscoverAfterMs: graceMs,
};
const limits: TableLimits = {
  ...maintainDefaults,
  ...{ filesMin: 2, pastFilesMin: 2, filesMax: 4, fileAgeMsMin: 0 },
  ...{ snapshotAgeMsMin: 200, snapshotsKeptMin: 1, looseManifestsMax: 2 },
  ...{
    orphanGraceMs: graceMs,
    foreignGraceMs: 2 * graceMs,
    metadataGraceMs: 4 * graceMs,
    orphansNotedMax: 1_000,
  },
};
const leaseMs = 150;

export interface Stage {
  readonly world: ModelWorld;
  readonly model: Model;
  readonly variant: Variant;
}

/** Does `act` in one life after another until it has been done; what others do to it is no reason to give up. */
async function untilDone(
  { world }: Stage,
  act: (store: ObjectStore, isDead: () => boolean) => Promise<void>,
  sleeps = false,
): Promise<void> {
  for (;;) {
    const { store, isDead } = world.life(sleeps);
    try {
      await act(store, isDead);
      return;
    } catch (error) {
      const lives = isDead() || error instanceof Killed;
      // `not-found`: it slept for longer than the grace time, and begins again from the newest state.
      const again = (['unavailable', 'conflict', 'not-found'] as const).some((code) => hasCode(error, code));
      if (!lives && !again) throw error;
    }
  }
}

const tableOf = ({ world }: Stage, store: ObjectStore): IcebergTable =>
  openTable({ store, tenant, signal: 'metrics', locationOf, clock: world.clock, limits: tableLimits });

const inboxKey = (name: string): string => `${tenant}/inbox/gw/segments/metrics/${name}.parquet`;

const fileOf = (key: string, rows: number): DataFile => ({
  ...someFile('x', tableSchemas.metrics),
  path: locationOf(key),
  rows,
  bytes: rows,
});

/** Uploads files and commits them, each once: a mark in the snapshot says which were, as the ingest's marks do. */
export async function committer(stage: Stage, name: string, files: number): Promise<void> {
  const { world, model } = stage;
  for (let number = 1; number <= files; number++) {
    const key = inboxKey(`${name}-${number}`);
    const rows = Array.from(
      { length: 1 + Math.floor(world.random() * 3) },
      (_, row) => `${name}-${number}-${row}${world.random() < 0.3 ? '!' : ''}`,
    );
    await untilDone(stage, async (store) => {
      await store.put(key, Buffer.from(rows.join('\n')));
      for (const row of rows) model.begun.add(row);
      await commit(tableOf(stage, store), markedAppend(name, number, fileOf(key, rows.length)), {
        random: world.random,
        uuid: world.uuid,
      });
    });
    for (const row of rows) model.committed.add(row);
  }
}

const marksProperty = 'firn.high-water-marks';

function markedAppend(name: string, number: number, file: DataFile): Propose {
  return ({ metadata }) => {
    const text = metadata && snapshotWithProperties(metadata)?.summary[marksProperty];
    const marks = JSON.parse(text ?? '{}') as Record<string, number>;
    if ((marks[name] ?? 0) >= number) return undefined;
    return { added: [file], summary: { [marksProperty]: JSON.stringify({ ...marks, [name]: number }) } };
  };
}

/** Another engine, whose snapshots say nothing about marks. */
export async function foreigner(stage: Stage, name: string): Promise<void> {
  const { world, model } = stage;
  const row = `${name}-0`;
  const key = `${tenant}/lake/metrics/data/${name}.parquet`;
  let committed = false;
  // It is known to commit within `foreignGraceMs`, so it must not sleep for longer.
  const open = { sinceMs: world.clock.nowMs() };
  model.openReaders.add(open);
  await untilDone(stage, async (store) => {
    // It asks nobody whether its first try was made after all, so it tries once.
    if (committed) return;
    await store.put(key, Buffer.from(row));
    model.begun.add(row);
    committed = true;
    await commit(tableOf(stage, store), () => ({ added: [fileOf(key, 1)], summary: {} }), {
      random: world.random,
      uuid: world.uuid,
    });
    model.committed.add(row);
  });
  model.openReaders.delete(open);
}

function workOf(stage: Stage, store: ObjectStore): TableWork {
  const { world, variant } = stage;
  const { memory, clock, random, uuid } = world;
  const merged = new Map<string, Buffer>();
  const own: ObjectStore = {
    ...store,
    putFile: (key, path) => store.put(key, merged.get(path) ?? Buffer.of()),
  };
  const merge: Merge = async ({ paths, folder, rules }) => {
    const lines = paths.flatMap((key) => {
      const body = memory.objects.get(key);
      // It slept since it planned this, or the file is lost: which of both, readers will tell.
      if (!body)
        throw new FirnError({ code: 'unavailable', operation: 'merge', subject: key, message: 'gone' });
      return Buffer.from(body).toString().split('\n');
    });
    const kept = rules.length === 0 ? lines : lines.filter((line) => !line.endsWith('!'));
    const path = `${folder}/merged`;
    merged.set(path, Buffer.from(kept.join('\n')));
    const times = { minTimestampUs: 0, maxTimestampUs: 0 };
    const file = { day: '2023-11-14', path, rows: kept.length, bytes: kept.length, sha256: '', bounds: {} };
    return {
      file: kept.length === 0 ? undefined : { ...file, ...times },
      repeated: 0,
      leftOut: lines.length - kept.length,
    };
  };
  const owner = uuid();
  return {
    options: {
      table: tableOf(stage, own),
      openFolder: async (path) => ({ path, [Symbol.asyncDispose]: async () => undefined }),
      limits,
      merge,
      replaceFiles: variant.replaceFiles ?? replaceFiles,
      commitOptions: { random, uuid },
    },
    limits: { ...limits, ...variant.limits },
    lease: leaseKeeper({ store: own, tenant, table: 'metrics', clock, owner, leaseMs }),
    sweeps: true,
    fencedEpoch: 0,
  };
}

/** Merges what there is, in turns. */
export async function compactor(stage: Stage, turns: number): Promise<void> {
  const { counts } = stage.model;
  for (let left = turns; left > 0; ) {
    await untilDone(stage, async (store) => {
      const work = workOf(stage, store);
      for (; left > 0; left--) {
        const turn = await mergeTurn(work, () => false);
        if (turn.kind !== 'rewrite') continue;
        if (turn.rewrite.outcome === 'done') counts.merges++;
        else counts.superseded++;
      }
    });
  }
}

/** One that merges without asking for the lease: as one does that believes it still has it. */
export async function sleeper(stage: Stage, turns: number): Promise<void> {
  const { counts } = stage.model;
  let left = turns;
  await untilDone(
    stage,
    async (store) => {
      const { options } = workOf(stage, store);
      for (; left > 0; left--) {
        const rewrite = await compactOnce({ ...options, epoch: 0, limits }, () => false);
        if (rewrite?.outcome === 'superseded') counts.superseded++;
      }
    },
    true,
  );
}

/** Expires snapshots, sweeps, and carries out what was asked for. */
export async function housekeeper(stage: Stage, turns: number): Promise<void> {
  const { counts, deleting, deleted } = stage.model;
  for (let left = turns; left > 0; ) {
    await untilDone(stage, async (store) => {
      const work = workOf(stage, store);
      for (; left > 0; left--) {
        const deletes = await listPendingDeletes(store, tenant);
        const done = await keepHouse(work, { retention: [], deletes });
        if (!done) continue;
        counts.expired += done.snapshotsExpired;
        counts.swept += done.swept.deleted;
        if (deletes.length > 0) for (const row of deleting) deleted.add(row);
      }
    });
  }
}

/** Asks to delete some rows: those that are committed by then. */
export async function deleter(stage: Stage): Promise<void> {
  const { world, model } = stage;
  await untilDone(stage, async (store) => {
    for (const row of model.committed) if (row.endsWith('!')) model.deleting.add(row);
    await requestDelete(store, tenant, { table: 'metrics', selector: '{x="!"}' }, world.clock.nowMs());
  });
}

/** Opens a view, and reads its files one after another while everything else goes on. */
export async function reader(stage: Stage, turns: number): Promise<void> {
  for (let left = turns; left > 0; left--) await untilDone(stage, (store) => readOnce(stage, store));
}

async function readOnce(stage: Stage, store: ObjectStore): Promise<void> {
  const { world, model } = stage;
  const open = { sinceMs: world.clock.nowMs() };
  model.openReaders.add(open);
  try {
    const expected = [...model.committed].filter((row) => !model.deleting.has(row) && !row.endsWith('!'));
    const gone = new Set(model.deleted);
    const table = tableOf(stage, store);
    const state = await table.load();
    const manifests = await table.manifestsOf(state);
    const rows: string[] = [];
    for (const manifest of manifests)
      for (const { file } of await table.entriesOf(manifest)) {
        const key = table.locations.keyOf(file.path);
        const { body } = await store.get(key);
        rows.push(...Buffer.from(body).toString().split('\n'));
      }
    model.counts.reads++;
    const found = new Set(rows);
    if (found.size < rows.length) model.wrong.push(`v${state.version}: rows twice`);
    const lost = expected.filter((row) => !found.has(row));
    if (lost.length > 0) model.wrong.push(`v${state.version}: ${lost.length} rows lost, such as ${lost[0]}`);
    const made = rows.filter((row) => !model.begun.has(row));
    if (made.length > 0) model.wrong.push(`v${state.version}: rows that nobody wrote, such as ${made[0]}`);
    const back = rows.filter((row) => gone.has(row));
    if (back.length > 0) model.wrong.push(`v${state.version}: deleted rows are back, such as ${back[0]}`);
  } catch (error) {
    if (hasCode(error, 'not-found')) model.wrong.push(`a reader found no ${error.subject}`);
    throw error;
  } finally {
    model.openReaders.delete(open);
  }
}
