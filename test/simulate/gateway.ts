import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { openRangeSealer } from '../../gateway/seal/seal-range.ts';
import type { SealThread } from '../../gateway/seal/seal-thread.ts';
import { startSealer } from '../../gateway/seal/sealer.ts';
import { createSegmentClaims } from '../../gateway/seal/segment-claims.ts';
import { createLink } from '../../gateway/ship/link.ts';
import { startShipper } from '../../gateway/ship/shipper.ts';
import { inThreadPort } from '../../gateway/wal/in-thread-port.ts';
import { openWal } from '../../gateway/wal/open-wal.ts';
import { startRecovery } from '../../gateway/wal/recovery/run-recovery.ts';
import type { Wal } from '../../gateway/wal/wal.ts';
import type { WorkerOptions } from '../../gateway/wal/wal-messages.ts';
import type { WalPort } from '../../gateway/wal/writer.ts';
import type { FaultPoint } from '../../lake/base/fault-points.ts';
import { createLogger } from '../../lake/base/log.ts';
import type { Batch } from '../../lake/model/batch.ts';
import { gatewayId, siteId } from '../../lake/model/ids.ts';
import type { ObjectStore } from '../../lake/object-store/object-store.ts';
import { tenant } from '../contract/lake-fixtures.ts';
import { jsonSegmentWriter, openJsonContents } from './json-segments.ts';
import { dropRequests, type Life, type World } from './world.ts';

// A gateway process: Firn's own log, sealer and shipper, with the simulation's clock, disk, threads and network.

export interface SimulatedGateway {
  readonly life: Life;
  /** Whether what a damaged log left behind is dealt with. */
  recovered(): boolean;
  append(batch: Batch): Promise<void>;
  /** What is in the tail is sealed from now on. */
  sealNow(): Promise<void>;
  /** Nothing of it happens any more, as of now; its files stay as they are. Waits until nothing holds them. */
  kill(): Promise<void>;
}

/** Where a test may put something else in a part's place. */
export interface GatewayParts {
  readonly wal?: (wal: Wal, inside: Inside) => Wal;
  readonly store?: (store: ObjectStore, inside: Inside) => ObjectStore;
}

interface Inside {
  readonly world: World;
  readonly life: Life;
}

export interface GatewayOptions {
  readonly world: World;
  readonly life: Life;
  readonly dataDir: string;
  readonly store: ObjectStore;
  /** How wrong its wall clock is, now. */
  readonly offsetMs: () => number;
  /** Dies when this step is reached for the so-manieth time. */
  readonly crash: { readonly point: FaultPoint; readonly count: number } | undefined;
  /** Size of wal.db, after which its disk is full; 0: no limit. */
  readonly databaseBytesMax: number;
  readonly parts: GatewayParts;
  /** More than one is a mistake that must do no harm. */
  readonly shippers: number;
  /** How often things happen; a day of seals every second would take long. */
  readonly pace?: Pace;
}

interface Pace {
  readonly sealIntervalMs: number;
  readonly sealCheckMs: number;
  readonly receiptIntervalMs: number;
  readonly lookIntervalMs: number;
  readonly unreachedRetryMaxMs: number;
}

const quick: Pace = {
  sealIntervalMs: 400,
  sealCheckMs: 200,
  receiptIntervalMs: 3000,
  lookIntervalMs: 1000,
  unreachedRetryMaxMs: 3000,
};

const freeLink = {
  windows: [],
  bytesPerSecondMax: 0,
  bytesPerDayMax: 0,
  metered: false,
  meteredIntervalMs: 1,
};

/** Undefined: it died at its step while it was starting. */
export async function startGateway(options: GatewayOptions): Promise<SimulatedGateway | undefined> {
  const { world, life, dataDir, store, offsetMs, parts, pace = quick } = options;
  mkdirSync(dataDir, { recursive: true });
  const clock = world.clockOf(life, offsetMs);
  const ids = { tenant, site: siteId('plant'), gateway: gatewayId(life.name.replace(/#.*$/, '')) };
  const reach = crashPoint(life, options.crash);
  const outside = { ...ids, dataDir, clock, logger: createLogger('silent'), reach, random: world.random };
  let port: MortalPort | undefined;
  const begun = await openLog(options, outside, (workerOptions) => {
    port = mortalPort(life, workerOptions, reach);
    return port;
  }).catch(async (error) => {
    if (!life.dead) throw error;
    await kill(life, world, dataDir, port, []);
  });
  if (begun === undefined) return undefined;
  const { wal, recovery, condemn } = begun;
  const shared = { ...outside, wal };
  const sealer = await startSealer({
    ...shared,
    writer: 'parquetjs',
    sealIntervalMs: pace.sealIntervalMs,
    sealCheckMs: pace.sealCheckMs,
    sealRowsMax: 12,
    onDamage: condemn,
    openThread: ({ walPath, identity }) => sealThread(options, walPath, identity, reach),
  });
  const shippers = Array.from({ length: options.shippers }, () =>
    startShipper({
      ...shared,
      store: parts.store?.(store, { world, life }) ?? store,
      claims: createSegmentClaims(),
      seals: sealer,
      link: createLink(freeLink, clock, undefined),
      receiptIntervalMs: pace.receiptIntervalMs,
      lookIntervalMs: pace.lookIntervalMs,
      unreachedRetryMaxMs: pace.unreachedRetryMaxMs,
      retryMaxMs: Math.max(60_000, pace.unreachedRetryMaxMs),
    }),
  );
  return {
    life,
    recovered: () => recovery.status.jobsLeft === 0,
    append: (batch) => wal.append(batch),
    sealNow: () => sealer.sealNow(),
    kill: () => kill(life, world, dataDir, port, [recovery, sealer, ...shippers]),
  };
}

type Outside = Omit<Parameters<typeof startRecovery>[0], 'wal'>;

/** What a gateway does before anything else. */
async function openLog(
  { world, life, databaseBytesMax, parts }: GatewayOptions,
  outside: Outside,
  startPort: (options: WorkerOptions) => WalPort,
) {
  const { dataDir, clock } = outside;
  // A gateway whose log is damaged ends, and starts again: see keepOpen in gateway/main.ts.
  let condemned: Promise<void> | undefined;
  const condemn = (): void => {
    condemned ??= opened.condemn().then(() => {
      life.dead = true;
    });
    condemned.catch(() => undefined);
  };
  const opened: Wal = await openWal({
    path: join(dataDir, 'wal.db'),
    clock,
    monotonicUs: () => clock.monotonicMs() * 1000,
    commitIntervalMs: 0,
    databaseBytesMax,
    alarmSelectors: ['{alarm="yes"}'],
    onDamage: condemn,
    startPort,
  });
  const wal = parts.wal?.(opened, { world, life }) ?? opened;
  const recovery = await startRecovery({ ...outside, wal, openContents: openJsonContents });
  return { wal, recovery, condemn };
}

function crashPoint(life: Life, crash: GatewayOptions['crash']): (point: FaultPoint) => void {
  let left = crash?.count ?? 0;
  return (point) => {
    if (life.dead) throw new Error('killed');
    if (point !== crash?.point || --left > 0) return;
    life.dead = true;
    throw new Error(`killed at ${point}`);
  };
}

function sealThread(
  { world, life, dataDir }: GatewayOptions,
  walPath: string,
  identity: Parameters<typeof openRangeSealer>[2],
  reach: (point: FaultPoint) => void,
): SealThread {
  const sealer = openRangeSealer(walPath, dataDir, identity, jsonSegmentWriter(life), reach);
  return {
    // Others get their turn between the asking and the sealing, and before the answer is heard.
    seal: async (request) => {
      const outcome = await world.request(life, 'seal', false, () => sealer.seal(request));
      await world.request(life, 'sealed', false, () => undefined);
      return outcome;
    },
    merge: () => Promise.reject(new Error('nothing is merged here')),
    [Symbol.asyncDispose]: () => sealer[Symbol.asyncDispose](),
  };
}

interface MortalPort extends WalPort {
  /** Whoever waits for an answer is told that there will be none. */
  die(): Promise<void>;
}

/** A port over which nothing passes once its process is dead. */
function mortalPort(life: Life, options: WorkerOptions, reach: (point: FaultPoint) => void): MortalPort {
  const inner = inThreadPort(options, reach);
  const onError: ((error: Error) => void)[] = [];
  let told = false;
  const tell = (): void => {
    if (told || onError.length === 0) return;
    told = true;
    for (const listener of onError) listener(new Error('killed'));
  };
  return {
    postMessage: (request) => {
      if (life.dead) return;
      inner.postMessage(request);
      if (life.dead) queueMicrotask(tell);
    },
    on: (event: string, listener: (argument: never) => void) => {
      if (event === 'error') {
        onError.push(listener as (error: Error) => void);
        if (life.dead) queueMicrotask(tell);
      }
      if (event === 'message')
        inner.on('message', (reply) => {
          if (!life.dead) (listener as (argument: unknown) => void)(reply);
        });
    },
    terminate: () => inner.terminate(),
    die: async () => {
      tell();
      inner.postMessage({ kind: 'close', id: 0 }); // when it did not die by itself
      await inner.terminate();
    },
  };
}

const databaseFiles = ['wal.db', 'wal.db-wal', 'wal.mark'];

/** SQLite tidies up when it is closed; a process that is killed does not. */
async function kill(
  life: Life,
  world: World,
  dataDir: string,
  port: MortalPort | undefined,
  parts: readonly AsyncDisposable[],
): Promise<void> {
  life.dead = true;
  const found = databaseFiles.filter((name) => existsSync(join(dataDir, name)));
  for (const name of found) copyFileSync(join(dataDir, name), join(dataDir, `${name}.killed`));
  dropRequests(world, life);
  const ended = Promise.allSettled(parts.map((part) => part[Symbol.asyncDispose]())).then(() => true);
  await port?.die();
  for (let turn = 0; !(await Promise.race([ended, world.settle()])); turn++)
    if (turn > 20)
      throw new Error(`seed ${world.seed}: ${life.name} is dead, but something of it waits for ever`);
  for (const name of [...databaseFiles, 'wal.db-shm']) rmSync(join(dataDir, name), { force: true });
  for (const name of found) renameSync(join(dataDir, `${name}.killed`), join(dataDir, name));
}
