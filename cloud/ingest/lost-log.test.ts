import { setImmediate } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ingester, turnstile, wrongIn } from '../../test/contract/ingest-process.ts';
import { changingTable, seededRandom, withSummaries } from '../../test/contract/lake-fixtures.ts';
import { type LossyGateway, lossyGateway } from '../../test/contract/lossy-gateway.ts';
import { memoryStore } from '../../test/contract/memory-store.ts';
import { type CommitShipments, commitShipments } from './commit-shipments.ts';
import { marksProperty } from './marks.ts';

// A gateway loses its log between any two of upload, compose, manifest and receipt, and ships again what it has no
// receipt for; manifests that were under way arrive late; two devices have the same log. Meanwhile two ingest processes
// are killed at any request. Whatever happens: each segment is in its table exactly once.

const crashesMax = 4;
const lossesMax = 4;

interface World {
  readonly seed: number;
  readonly devices: 1 | 2;
  readonly commitWith: CommitShipments;
}

interface Outcome {
  readonly wrong: readonly string[];
  readonly crashes: number;
  readonly losses: number;
  readonly late: number;
}

async function simulate({ seed, devices, commitWith }: World): Promise<Outcome> {
  const random = seededRandom(seed);
  const store = memoryStore();
  const { pass, letOneGo } = turnstile(random);
  const counts = { crashes: 0, losses: 0, late: 0 };
  const mayCrash = (): 'before' | 'after' | undefined => {
    if (counts.crashes >= crashesMax || random() > 0.02) return undefined;
    counts.crashes++;
    return random() < 0.5 ? 'before' : 'after';
  };
  const gateways: LossyGateway[] = [lossyGateway(store, 10)];
  const processes = [0, 1].map(() => ingester(store, pass, mayCrash, commitWith, random));
  const pick = (): LossyGateway => gateways[Math.floor(random() * gateways.length)] ?? lossyGateway(store, 0);
  const isDone = (): boolean => gateways.every((each) => each.isDone());
  let step = 0;
  for (; !isDone() && step < 30_000; step++) {
    // Of two devices, one is switched off at last: as long as both ship, each makes the other begin again.
    if (devices === 2 && step === 200) gateways.push(pick().copy());
    if (step === 3_000) gateways.splice(1);
    if (random() < 0.2) await pick().step(random);
    if (counts.losses < lossesMax && random() < 0.01) {
      counts.losses++;
      pick().lose(random() < 0.5, random);
    }
    const late = random() < 0.01 ? pick().late.shift() : undefined;
    if (late) {
      counts.late++;
      await store.putIfAbsent(late.key, late.body).catch(() => undefined);
    }
    letOneGo();
    await setImmediate();
  }
  for (const { stop } of processes) stop();
  while (letOneGo()) await setImmediate();
  await Promise.all(processes.map(({ ended }) => ended));
  if (!isDone()) return { wrong: [`seed ${seed}: it never comes to rest`], ...counts };
  const segments = gateways.flatMap((each) => each.segments.map(({ segment }) => segment));
  const wrong = await wrongIn(store, [...new Map(segments.map((each) => [each.key, each])).values()]);
  const refused = [...store.objects.keys()].filter((key) => key.includes('/quarantine/'));
  return { wrong: [...wrong, ...refused].map((what) => `seed ${seed}: ${what}`), ...counts };
}

const seeds = (count: number): number[] => Array.from({ length: count }, (_, index) => index + 1);

test.each([1, 2] as const)(
  'what %d device(s) with one log ship is in the lake exactly once, whatever is lost when',
  async (devices) => {
    const outcomes: Outcome[] = [];
    for (const seed of seeds(25))
      outcomes.push(await simulate({ seed, devices, commitWith: commitShipments }));
    expect(outcomes.flatMap(({ wrong }) => wrong)).toEqual([]);
    // It did try hard.
    const total = (of: (outcome: Outcome) => number) => outcomes.reduce((sum, each) => sum + of(each), 0);
    expect(total(({ losses }) => losses)).toBeGreaterThan(40);
    expect(total(({ late }) => late)).toBeGreaterThan(3);
    expect(total(({ crashes }) => crashes)).toBeGreaterThan(40);
  },
  120_000,
);

// The same simulation must notice when a rule is broken.
const ends = /(\d+-\d+)(?: \d+-\d+)+/g;

const withoutEndsOfEpochs: CommitShipments = (table, batch, options) =>
  commitShipments(
    changingTable(table, (next) =>
      withSummaries(next, (summary) => {
        const marks = summary[marksProperty]?.replace(ends, '$1');
        return { ...summary, ...(marks && { [marksProperty]: marks }) };
      }),
    ),
    batch,
    options,
  );

test('the simulation notices marks that do not tell where an epoch ended', async () => {
  let noticed: readonly string[] = [];
  for (const seed of seeds(100)) {
    ({ wrong: noticed } = await simulate({ seed, devices: 1, commitWith: withoutEndsOfEpochs }));
    if (noticed.length > 0) break;
  }
  expect(noticed.join('\n')).toMatch(/2 times|3 times/);
});
