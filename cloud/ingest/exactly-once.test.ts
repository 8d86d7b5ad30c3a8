import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { signals } from '../../lake/model/batch.ts';
import { ingester, turnstile, wrongIn } from '../../test/contract/ingest-process.ts';
import { changingTable, seededRandom, withSummaries } from '../../test/contract/lake-fixtures.ts';
import { type MemoryStore, memoryStore } from '../../test/contract/memory-store.ts';
import { madeShipment } from '../../test/contract/shipments.ts';
import { commit } from '../catalog/commit.ts';
import { type CommitShipments, commitShipments } from './commit-shipments.ts';
import { marksOf, marksProperty, printMarks } from './marks.ts';

// Two ingest processes work on one tenant while gateways ship. A seeded scheduler decides which of all pending requests
// goes next, and kills a process now and then, before or after the request it was waiting for took effect.

const crashesMax = 6;
const gateways = ['gw-1', 'gw-2'];

interface Outcome {
  readonly wrong: readonly string[];
  readonly crashes: number;
  readonly lostRaces: number;
}

async function simulate(seed: number, commitWith: CommitShipments): Promise<Outcome> {
  const random = seededRandom(seed);
  const memory = memoryStore();
  let lostRaces = 0;
  const store: MemoryStore = {
    ...memory,
    putIfAbsent: (...args) => {
      if (memory.objects.has(args[0])) lostRaces++;
      return memory.putIfAbsent(...args);
    },
  };
  const shipments = gateways.flatMap((gateway) =>
    Array.from({ length: 8 }, (_, index) =>
      madeShipment({
        gateway,
        number: index + 1,
        signals: signals.filter(() => random() < 0.7),
        metadata: [{ name: `m${index % 3}`, type: 'gauge', help: `${index}`, unit: '' }],
      }),
    ),
  );
  const toUpload = gateways.map((gateway) =>
    shipments.filter(({ manifest }) => manifest.gateway === gateway).flatMap(({ uploads }) => uploads),
  );
  const { pass, letOneGo } = turnstile(random);
  let crashes = 0;
  const mayCrash = (): 'before' | 'after' | undefined => {
    if (crashes >= crashesMax || random() > 0.03) return undefined;
    crashes++;
    return random() < 0.5 ? 'before' : 'after';
  };
  const processes = [0, 1].map(() => ingester(store, pass, mayCrash, commitWith, random));
  const allIdle = (): boolean => processes.every(({ idleRounds }) => idleRounds() >= 2);
  for (let step = 0; toUpload.some((list) => list.length > 0) || !allIdle(); step++) {
    if (step > 20_000) return { wrong: [`seed ${seed}: it never comes to rest`], crashes, lostRaces };
    const uploads = toUpload[Math.floor(random() * toUpload.length)];
    const upload = random() < 0.2 ? uploads?.shift() : undefined;
    if (upload) {
      await store.put(upload.key, upload.body);
      for (const { disturb } of processes) disturb();
    }
    letOneGo();
    await setImmediate();
  }
  for (const { stop } of processes) stop();
  while (letOneGo()) await setImmediate();
  await Promise.all(processes.map(({ ended }) => ended));
  const wrong = await wrongIn(
    store,
    shipments.flatMap(({ manifest }) => manifest.segments),
  );
  return { wrong: wrong.map((what) => `seed ${seed}: ${what}`), crashes, lostRaces };
}

const seeds = (count: number, from: number): number[] =>
  Array.from({ length: count }, (_, index) => from + index);

test('each row is in its table exactly once, whoever is killed when', async () => {
  const outcomes: Outcome[] = [];
  for (const seed of seeds(40, 1)) outcomes.push(await simulate(seed, commitShipments));
  expect(outcomes.flatMap(({ wrong }) => wrong)).toEqual([]);
  // It did try hard.
  expect(outcomes.reduce((sum, { crashes }) => sum + crashes, 0)).toBeGreaterThan(130);
  expect(outcomes.reduce((sum, { lostRaces }) => sum + lostRaces, 0)).toBeGreaterThan(60);
}, 120_000);

// The same simulation must notice when the rule is broken.
const files = (batch: Parameters<CommitShipments>[1]) => ({ ...batch, marksOnly: false });

const broken: Record<string, CommitShipments> = {
  'marks that move in a commit of their own': async (table, batch, options) => {
    let marks = '{}';
    const result = await commitShipments(
      withoutMarks(table, (text) => {
        marks = text;
      }),
      files(batch),
      options,
    );
    await commit(table, () => ({ added: [], summary: { [marksProperty]: marks } }), options);
    return result;
  },
  'marks that are not looked at again after a lost race': async (table, batch, options) => {
    const base = await table.load(Number.POSITIVE_INFINITY);
    return commitShipments({ ...table, load: await freezeMarks(table, base) }, batch, options);
  },
};

/** A table whose adopted state is caught on its way: what is put has the marks of before. */
function withoutMarks(
  table: Parameters<CommitShipments>[0],
  taken: (marks: string) => void,
): Parameters<CommitShipments>[0] {
  return changingTable(table, (next) => {
    const before = next.snapshots.at(-2)?.summary[marksProperty] ?? '{}';
    taken(next.snapshots.at(-1)?.summary[marksProperty] ?? '{}');
    const last = next.snapshots.length - 1;
    return withSummaries(next, (summary, index) =>
      index === last ? { ...summary, [marksProperty]: before } : summary,
    );
  });
}

/** Newer states appear with the marks of the first. */
async function freezeMarks(
  table: Parameters<CommitShipments>[0],
  base: Awaited<ReturnType<Parameters<CommitShipments>[0]['load']>>,
): Promise<Parameters<CommitShipments>[0]['load']> {
  const marks = printMarks(await marksOf(table, base));
  return async (maxAgeMs) => {
    const { version, metadata } = await table.load(maxAgeMs);
    if (!metadata) return { version, metadata };
    return {
      version,
      metadata: withSummaries(metadata, (summary) => ({ ...summary, [marksProperty]: marks })),
    };
  };
}

test.each(Object.entries(broken))('the simulation notices %s', async (_name, commitWith) => {
  let noticed: readonly string[] = [];
  for (const seed of seeds(40, 1)) {
    ({ wrong: noticed } = await simulate(seed, commitWith));
    if (noticed.length > 0) break;
  }
  expect(noticed.join('\n')).toMatch(/2 times|3 times/);
});
