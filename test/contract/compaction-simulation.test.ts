import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { openTable, openTables } from '../../cloud/catalog/table.ts';
import { commitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { ingestLimits, openTenantIngest } from '../../cloud/ingest/tenant-ingest.ts';
import { type CompactOptions, compactOnce } from '../../cloud/maintain/compact.ts';
import { maintainDefaults } from '../../cloud/maintain/maintain.ts';
import { type ReplaceFiles, replaceFiles } from '../../cloud/maintain/replace-files.ts';
import { FirnError, hasCode } from '../../lake/base/errors.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import type { SegmentFile } from '../../lake/parquet/segment-writer.ts';
import { locationOf, seededRandom, seededUuid, stillClock, tenant } from './lake-fixtures.ts';
import { type MemoryStore, memoryStore, watchedStore } from './memory-store.ts';
import { madeShipment } from './shipments.ts';

// Two ingests and two maintainers work on one table while gateways ship. A seeded scheduler decides which of all pending
// requests goes next; now and then a process is killed, before or after a request took effect, or is told "unavailable"
// about one that did. A segment is one line of text, and merging joins lines, so that rows can be told apart.

const faultsMax = 8;
const gateways = ['gw-1', 'gw-2'];
const tableLimits = { smallManifestsMax: 4, manifestEntriesMax: 6, snapshotsMax: 8 };

type Fault = 'killed before' | 'killed after' | 'unavailable after';

interface World {
  readonly memory: MemoryStore;
  readonly random: () => number;
  readonly clock: ReturnType<typeof stillClock>;
  readonly replaceFiles: ReplaceFiles;
  readonly counts: { faults: number; lostRaces: number; merges: number; superseded: number };
  /** Resolves when the scheduler lets this request go. */
  pass(): Promise<void>;
}

/** What a process does again and again; false when there was nothing to do. */
type Work = () => Promise<boolean>;

interface Process {
  idle: number;
  stopped: boolean;
  ended: Promise<void>;
}

/** Runs until it is stopped; when it is killed, it starts again with nothing in memory. */
function startProcess(world: World, begin: (store: ObjectStore) => Work): Process {
  const process: Process = { idle: 0, stopped: false, ended: Promise.resolve() };
  const life = async (): Promise<void> => {
    const mortal = mortalStore(world);
    const work = begin(mortal.store);
    while (!process.stopped && !mortal.isDead()) {
      try {
        process.idle = (await work()) ? 0 : process.idle + 1;
      } catch (error) {
        if (!mortal.isDead() && !hasCode(error, 'unavailable') && !hasCode(error, 'conflict')) throw error;
      }
      await setImmediate();
    }
  };
  process.ended = (async () => {
    while (!process.stopped) await life();
  })();
  return process;
}

function mortalStore(world: World): { store: ObjectStore; isDead(): boolean } {
  const { memory, random, counts } = world;
  let dead = false;
  let fault: Fault | undefined;
  const die = (): never => {
    dead = true;
    throw new Error('killed');
  };
  const store = watchedStore(
    { ...memory, localPath: (key) => key },
    async (method) => {
      await world.pass();
      if (dead) die();
      fault = undefined;
      if (counts.faults >= faultsMax || random() > (method === 'putIfAbsent' ? 0.15 : 0.02)) return;
      counts.faults++;
      fault = (['killed before', 'killed after', 'unavailable after'] as const)[Math.floor(random() * 3)];
      if (fault === 'killed before') die();
    },
    (method, key) => {
      if (dead || fault === 'killed after') die();
      if (fault !== 'unavailable after') return;
      fault = undefined;
      throw new FirnError({ code: 'unavailable', operation: method, subject: key, message: 'timed out' });
    },
  );
  return { store, isDead: () => dead };
}

const ingester =
  ({ clock, random }: World) =>
  (store: ObjectStore): Work => {
    const ingest = openTenantIngest({
      tenant,
      tables: openTables({ store, tenant, locationOf, clock, limits: tableLimits }),
      logger: createLogger('silent'),
      limits: { ...ingestLimits, shipmentsPerRoundMax: 2, marksLagMax: 3 },
      verify: 'sha256',
      commitShipments,
      commitOptions: { random, uuid: seededUuid(random) },
    });
    return async () => {
      const { commits, shipments, failure } = await ingest.round();
      if (failure !== undefined) throw failure;
      return commits.length + shipments > 0;
    };
  };

const maintainer =
  (world: World) =>
  (inner: ObjectStore): Work => {
    const { clock, random, memory, counts } = world;
    const merged = new Map<string, Uint8Array>();
    const put = inner.put;
    const store = {
      ...inner,
      putFile: (key: string, path: string) => put(key, merged.get(path) ?? Buffer.of()),
    };
    const options: CompactOptions = {
      table: openTable({ store, tenant, signal: 'metrics', locationOf, clock, limits: tableLimits }),
      limits: { ...maintainDefaults, filesMin: 2, filesMax: 4, fileAgeMsMin: 100 },
      openFolder: async (name) => ({ path: name, [Symbol.asyncDispose]: async () => undefined }),
      mergeSegments: async ({ paths, path, rows }) => {
        const lines = paths.map((key) => Buffer.from(memory.objects.get(key) ?? 'a file is gone').toString());
        merged.set(path, Buffer.from(lines.join('\n')));
        return mergedFile(join(path), rows);
      },
      replaceFiles: world.replaceFiles,
      commitOptions: { random, uuid: seededUuid(random) },
    };
    return async () => {
      const compaction = await compactOnce(options, () => false);
      if (compaction?.outcome === 'done') counts.merges++;
      if (compaction?.outcome === 'superseded') counts.superseded++;
      return compaction !== undefined;
    };
  };

const mergedFile = (path: string, rows: number): SegmentFile => ({
  ...{ day: '2023-11-14', path, rows, bytes: 100, sha256: '', bounds: {} },
  ...{ minTimestampUs: 0, maxTimestampUs: 0 },
});

interface Outcome {
  readonly wrong: readonly string[];
  readonly counts: World['counts'];
}

async function simulate(seed: number, replace: ReplaceFiles): Promise<Outcome> {
  const random = seededRandom(seed);
  const memory = memoryStore();
  const waiting: (() => void)[] = [];
  const letOneGo = (): void => waiting.splice(Math.floor(random() * waiting.length), 1)[0]?.();
  const counts = { faults: 0, lostRaces: 0, merges: 0, superseded: 0 };
  const watched: MemoryStore = {
    ...memory,
    putIfAbsent: (...args) => {
      if (memory.objects.has(args[0])) counts.lostRaces++;
      return memory.putIfAbsent(...args);
    },
  };
  const pass = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
  const world: World = { memory: watched, random, clock: stillClock(), replaceFiles: replace, counts, pass };
  const shipments = gateways.flatMap((gateway) =>
    Array.from({ length: 12 }, (_, index) => madeShipment({ gateway, number: index + 1 })),
  );
  const toUpload = gateways.map((gateway) =>
    shipments.filter(({ manifest }) => manifest.gateway === gateway).flatMap(({ uploads }) => uploads),
  );
  const ingests = [0, 1].map(() => startProcess(world, ingester(world)));
  const processes = [...ingests, ...[0, 1].map(() => startProcess(world, maintainer(world)))];
  const busy = (): boolean => processes.some(({ idle }) => idle < 3);
  for (let step = 0; toUpload.some((list) => list.length > 0) || busy(); step++) {
    if (step > 30_000) return { wrong: [`seed ${seed}: it never comes to rest`], counts };
    world.clock.advance(10);
    const uploads = toUpload[Math.floor(random() * toUpload.length)];
    const upload = random() < 0.1 ? uploads?.shift() : undefined;
    if (upload) {
      await memory.put(upload.key, upload.body);
      for (const process of processes) process.idle = 0;
    }
    letOneGo();
    await setImmediate();
  }
  for (const process of processes) process.stopped = true;
  const ended = Promise.all(processes.map((process) => process.ended)).then(() => 'ended' as const);
  while ((await Promise.race([ended, setImmediate('running' as const)])) === 'running') letOneGo();
  const expected = shipments.flatMap(({ manifest }) => manifest.segments.map(({ key }) => `segment ${key}`));
  const wrong = await wrongIn(memory, new Set(expected));
  return { wrong: wrong.map((what) => `seed ${seed}: ${what}`), counts };
}

/** The model: no version of the table has a row twice, none has fewer than the one before, and the last has all. */
async function wrongIn(memory: MemoryStore, expected: ReadonlySet<string>): Promise<string[]> {
  const wrong: string[] = [];
  let before: ReadonlySet<string> = new Set();
  for (let version = 1; ; version++) {
    const key = `${tenant}/lake/metrics/metadata/v${version}.metadata.json`;
    const metadata = memory.objects.get(key);
    if (!metadata) break;
    const lines = await linesAt(memory, version);
    const now = new Set(lines);
    if (now.size < lines.length) wrong.push(`v${version} has ${lines.length - now.size} rows twice`);
    const lost = [...before].filter((line) => !now.has(line));
    if (lost.length > 0) wrong.push(`v${version} has lost ${lost.length} rows, such as ${lost[0]}`);
    before = now;
  }
  const missing = [...expected].filter((line) => !before.has(line));
  if (missing.length > 0) wrong.push(`${missing.length} rows are missing at the end`);
  return wrong;
}

/** Every row that a reader of this version finds. */
async function linesAt(memory: MemoryStore, version: number): Promise<string[]> {
  const hint = `${tenant}/lake/metrics/metadata/version-hint.text`;
  const newer = `${tenant}/lake/metrics/metadata/v${version + 1}.metadata.json`;
  const then: ObjectStore = {
    ...memory,
    get: async (key) => {
      if (key === hint) return { key, etag: '', sizeBytes: 1, body: Buffer.from(String(version)) };
      return memory.get(key === newer ? 'not yet' : key);
    },
  };
  const table = openTable({ store: then, tenant, signal: 'metrics', locationOf, clock: stillClock() });
  const state = await table.load();
  expect(state.version).toBe(version);
  const manifests = await table.manifestsOf(state);
  const entries = (await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)))).flat();
  return entries.flatMap(({ file }) => {
    const body = memory.objects.get(table.locations.keyOf(file.path));
    const lines = body ? Buffer.from(body).toString().split('\n') : [];
    // What looks like a Parquet footer is none of it.
    return lines.filter((line) => line.startsWith('segment '));
  });
}

const seeds = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

test('each row is in each snapshot exactly once, whoever merges, ingests or is killed when', async () => {
  const outcomes: Outcome[] = [];
  for (const seed of seeds(30)) outcomes.push(await simulate(seed, replaceFiles));
  expect(outcomes.flatMap(({ wrong }) => wrong)).toEqual([]);
  // It did try hard.
  const total = (of: (counts: World['counts']) => number): number =>
    outcomes.reduce((sum, { counts }) => sum + of(counts), 0);
  expect(total(({ faults }) => faults)).toBeGreaterThan(150);
  expect(total(({ lostRaces }) => lostRaces)).toBeGreaterThan(200);
  expect(total(({ merges }) => merges)).toBeGreaterThan(200);
  expect(total(({ superseded }) => superseded)).toBeGreaterThan(50);
});

// The same simulation must notice when a rule is broken.
const broken: Record<string, { replace: ReplaceFiles; noticed: RegExp }> = {
  'files that are not looked at again: those that are left are replaced by the rows of all': {
    noticed: /rows twice/,
    replace: async (table, replaced, added, options) => {
      const state = await table.load();
      const manifests = await table.manifestsOf(state);
      const entries = await Promise.all(manifests.map((manifest) => table.entriesOf(manifest)));
      const live = new Set(entries.flat().map(({ file }) => file.path));
      const left = replaced.filter(({ path }) => live.has(path));
      return replaceFiles(table, left, added, options);
    },
  },
  'a lost race after which the old manifests are written again': {
    noticed: /has lost/,
    replace: async (table, replaced, added, options) => {
      const manifests = await table.manifestsOf(await table.load());
      return replaceFiles({ ...table, manifestsOf: async () => manifests }, replaced, added, options);
    },
  },
  'a commit of unknown outcome that is taken for a lost one': {
    noticed: /has lost/,
    replace: async (table, replaced, added, options) => {
      try {
        return await replaceFiles(table, replaced, added, options);
      } catch (cause) {
        throw new FirnError({ code: 'conflict', operation: 'test', subject: 'test', message: 'lost', cause });
      }
    },
  },
};

test.each(Object.entries(broken))('the simulation notices %s', async (_name, { replace, noticed }) => {
  const wrong: string[] = [];
  for (const seed of seeds(60)) {
    wrong.push(...(await simulate(seed, replace)).wrong.filter((what) => noticed.test(what)));
    if (wrong.length > 0) break;
  }
  expect(wrong.join('\n')).toMatch(noticed);
});
