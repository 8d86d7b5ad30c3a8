import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { CommitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { commitShipments } from '../../cloud/ingest/commit-shipments.ts';
import { faultPoints } from '../../lake/base/fault-points.ts';
import { memoryStore } from '../contract/memory-store.ts';
import { type SimulatedCloud, startCloud } from './cloud.ts';
import { damageLog } from './damage.ts';
import { faultyStore, type Weather } from './faulty-store.ts';
import { type GatewayParts, type SimulatedGateway, startGateway } from './gateway.ts';
import { storedRows } from './lake.ts';
import { batchOf, type SentRow, wrongIn } from './sent-rows.ts';
import { createWorld, type Life, type World } from './world.ts';

// One seeded schedule: a gateway and a cloud work, and everything goes wrong that can; then it is calm, and what was
// acknowledged has to be in the lake once, or be said to be missing.

export interface Outcome {
  /** What the lake should not look like; empty when all is well. */
  readonly wrong: readonly string[];
  readonly acknowledged: number;
  /** What was tried, by name. */
  readonly counts: ReadonlyMap<string, number>;
}

/** Where a test may put something broken in a part's place. */
export interface Variant extends GatewayParts {
  readonly commitShipments?: CommitShipments;
}

interface Run {
  readonly world: World;
  readonly folder: string;
  readonly memory: ReturnType<typeof memoryStore>;
  readonly weather: Weather;
  readonly variant: Variant;
  readonly sent: SentRow[];
  readonly counts: Map<string, number>;
  readonly setting: Setting;
  lives: number;
  damages: number;
  offsetMs: number;
  gateway: SimulatedGateway | undefined;
  readonly clouds: (SimulatedCloud | undefined)[];
}

/** What is drawn once for a schedule. */
interface Setting {
  readonly chaosSteps: number;
  readonly faultShare: number;
  readonly crashShare: number;
  readonly shippers: number;
  readonly databaseBytesMax: number;
  /** How many of the gateway's deaths leave a damaged log. */
  readonly damageShare: number;
}

const gatewaySteps = faultPoints.filter((point) => /^(wal|seal|ship|receipt)\./.test(point));
const tenYearsMs = 10 * 365 * 86_400_000;
const restStepsMax = 4000;

export async function simulate(seed: number, variant: Variant = {}): Promise<Outcome> {
  const folder = mkdtempSync(join('/dev/shm', 'firn-simulate-'));
  const world = createWorld(seed);
  const { chance, pick } = world;
  const setting: Setting = {
    chaosSteps: 30 + Math.floor(world.random() * 110),
    faultShare: pick([0, 0.1, 0.3, 0.5]) ?? 0,
    crashShare: pick([0, 0.5, 0.9]) ?? 0,
    shippers: chance(0.1) ? 2 : 1,
    databaseBytesMax: chance(0.1) ? 200_000 : 0,
    damageShare: chance(0.25) ? 0.7 : 0,
  };
  const run: Run = {
    ...{
      world,
      folder,
      variant,
      setting,
      memory: memoryStore(),
      weather: { outage: false, faultShare: setting.faultShare },
    },
    ...{ sent: [], counts: new Map(), lives: 0, damages: 0, offsetMs: 0, gateway: undefined },
    clouds: chance(0.2) ? [undefined, undefined] : [undefined],
  };
  try {
    for (let step = 0; step < setting.chaosSteps; step++) await chaos(run);
    const rested = await heal(run);
    const wrong = rested
      ? wrongIn(run.sent, await storedRows(run.memory), run.damages > 0)
      : ['it never comes to rest'];
    return {
      wrong: wrong.map((what) => `seed ${seed}: ${what}`),
      acknowledged: run.sent.filter(({ acknowledged }) => acknowledged).length,
      counts: run.counts,
    };
  } finally {
    await run.gateway?.kill();
    for (const cloud of run.clouds) cloud?.kill();
    rmSync(folder, { recursive: true });
  }
}

function count({ counts }: Run, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1);
}

/** One step of the bad part. */
async function chaos(run: Run): Promise<void> {
  const { world } = run;
  await world.settle();
  await buryTheDead(run);
  const draw = world.random();
  if (draw < 0.1) send(run);
  else if (draw < 0.78) await letOneHappen(run);
  else if (draw < 0.9) passTime(run);
  else if (draw < 0.95) await start(run);
  else if (draw < 0.96) replay(run);
  else if (draw < 0.97) changeWeather(run);
  else if (draw < 0.98) jump(run);
  else if (draw < 0.985) await killGateway(run);
  else if (draw < 0.995) killCloud(run);
}

/** An outage ends sooner than it begins, or nothing but outages would be seen. */
function changeWeather({ weather, world }: Run): void {
  weather.outage = !weather.outage && world.chance(0.5);
}

async function killGateway(run: Run): Promise<void> {
  if (!run.gateway) return;
  count(run, 'gateway killed');
  await bury(run, run.gateway);
}

/** A process that died at a named step. */
async function buryTheDead(run: Run): Promise<void> {
  if (!run.gateway?.life.dead) return;
  count(run, 'gateway died at a step');
  await bury(run, run.gateway);
}

async function bury(run: Run, gateway: SimulatedGateway): Promise<void> {
  await gateway.kill();
  run.gateway = undefined;
  if (!run.world.chance(run.setting.damageShare)) return;
  const what = damageLog(join(run.folder, 'gw-1'), run.world);
  if (what === undefined) return;
  count(run, what);
  run.damages++;
}

async function start(run: Run, calm = false): Promise<void> {
  const { world, memory, weather, variant, setting } = run;
  const storeOf = (life: Life) =>
    faultyStore({ world, life, memory, weather, count: (fault) => count(run, fault) });
  for (const [index, cloud] of run.clouds.entries()) {
    if (cloud) continue;
    const life = { name: `cloud-${index}#${++run.lives}`, dead: false };
    const commitWith = variant.commitShipments ?? commitShipments;
    run.clouds[index] = startCloud({ world, life, store: storeOf(life), commitShipments: commitWith });
  }
  if (run.gateway) return;
  const life = { name: `gw-1#${++run.lives}`, dead: false };
  const crashes = !calm && world.chance(setting.crashShare);
  const point = world.pick(gatewaySteps) ?? 'seal.written';
  run.gateway = await startGateway({
    ...{ world, life, parts: variant, store: storeOf(life), dataDir: join(run.folder, 'gw-1') },
    crash: crashes ? { point, count: 1 + Math.floor(world.random() * 3) } : undefined,
    offsetMs: () => run.offsetMs,
    databaseBytesMax: calm ? 0 : setting.databaseBytesMax,
    shippers: setting.shippers,
  });
  if (run.gateway === undefined) count(run, 'gateway died in its start');
}

function killCloud(run: Run): void {
  const index = Math.floor(run.world.random() * run.clouds.length);
  if (run.clouds[index] === undefined) return;
  count(run, 'cloud killed');
  run.clouds[index]?.kill();
  run.clouds[index] = undefined;
}

/** Not where the log is damaged, too: the times of what was received would then bear nothing out. */
function jump(run: Run): void {
  if (run.setting.damageShare > 0) return;
  count(run, 'clock jumped');
  run.offsetMs = run.world.pick([0, tenYearsMs, -tenYearsMs]) ?? 0;
}

/** Somebody puts an object of the inbox again, as it was. */
function replay(run: Run): void {
  const { memory, world } = run;
  const key = world.pick([...memory.objects.keys()].filter((each) => each.includes('/inbox/')).sort());
  const body = memory.objects.get(key ?? '');
  if (key === undefined || body === undefined) return;
  count(run, 'object replayed');
  void memory.put(key, body);
}

async function letOneHappen(run: Run): Promise<void> {
  const one = run.world.pick(run.world.pending);
  if (one) await run.world.release(one);
  else passTime(run);
}

function passTime({ world }: Run): void {
  if (!world.nextTimer(60_000)) world.advance(1000);
}

/** A receiver hands a batch to the gateway; the sender is told when, and only if, that is accepted. */
function send(run: Run): void {
  const { gateway, world, sent } = run;
  if (!gateway || gateway.life.dead) return;
  const signal = world.chance(0.6) ? 'metrics' : 'logs';
  const dayAgo = world.chance(0.1) ? 86_400_000_000 : 0;
  const rows = Array.from({ length: 1 + Math.floor(world.random() * 4) }, (_, index): SentRow => {
    const timestampUs = world.nowMs() * 1000 - dayAgo + index;
    const receivedUs = world.nowMs() * 1000;
    return { id: sent.length + 1 + index, signal, timestampUs, receivedUs, acknowledged: false };
  });
  sent.push(...rows);
  const { life } = gateway;
  gateway.append(batchOf(signal, rows, world.chance(0.15))).then(
    () => {
      if (!life.dead) for (const row of rows) row.acknowledged = true;
    },
    () => count(run, 'append refused'),
  );
}

/** The weather is fine from now on; false when there is always something left to do. */
async function heal(run: Run): Promise<boolean> {
  const { world, weather } = run;
  weather.outage = false;
  weather.faultShare = 0;
  run.offsetMs = 0;
  for (let life = 0; life < healingLivesMax; life++) {
    await run.gateway?.kill();
    run.gateway = undefined;
    await world.settle();
    await start(run, true);
    send(run); // as every gateway measures itself now and then
    const end = await rest(run);
    if (end !== 'died') return end === 'rested';
    // Damage that lay somewhere in the log turns up when that is read.
    if (run.damages === 0) throw new Error(`seed ${world.seed}: it died although all is calm`);
  }
  return false;
}

const healingLivesMax = 4;

/** Waits until everything is sealed, shipped and known to be committed. */
async function rest(run: Run): Promise<'rested' | 'died' | 'restless'> {
  const { world, gateway } = run;
  const log = new Database(join(run.folder, 'gw-1', 'wal.db'), { readonly: true });
  try {
    const left = log.prepare<[], number>(leftSql).pluck();
    for (let step = 0; step < restStepsMax; step++) {
      await world.settle();
      if (gateway?.life.dead) return 'died';
      const one = world.pick(world.pending);
      if (one) await world.release(one);
      else if (gateway?.recovered() && left.get() === 0) return 'rested';
      else passTime(run);
    }
    return 'restless';
  } finally {
    log.close();
  }
}

const leftSql = `SELECT (SELECT count(*) FROM batch) +
  (SELECT count(*) FROM segment WHERE committed = 0 AND refused IS NULL)`;
