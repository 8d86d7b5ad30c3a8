import { expect } from 'vitest';
import { withoutStacks } from '../without-stacks.ts';
import { simulateLake } from './lake-schedule.ts';

/** Schedules of a whole run; FIRN_LAKE_SCHEDULES and FIRN_SIMULATE_SEED choose others. */
const schedules = Number(process.env.FIRN_LAKE_SCHEDULES ?? 5_000);
const firstSeed = Number(process.env.FIRN_SIMULATE_SEED ?? 1);
/** Each is a test file of its own, so that they run side by side. */
const shards = 2;
/** The first failures say enough. */
const failuresMax = 5;
/** What must have happened on average, or the run has tried too little. */
const triedAfter = 200;

/** Runs one shard's seeds, and prints what was tried. */
export async function runLakeSchedules(shard: number): Promise<void> {
  const wrong: string[] = [];
  const counts = new Map<string, number>();
  let done = 0;
  await withoutStacks(async () => {
    for (
      let seed = firstSeed + shard;
      seed < firstSeed + schedules && wrong.length < failuresMax;
      seed += shards
    ) {
      const outcome = await simulateLake(seed);
      wrong.push(...outcome.wrong.slice(0, 3));
      done++;
      for (const [what, times] of Object.entries(outcome.counts))
        counts.set(what, (counts.get(what) ?? 0) + times);
    }
  });
  const tried = [...counts].map(([what, times]) => `${what} ${times}`).join(', ');
  console.log(`${done} lake schedules, every ${shards}. seed from ${firstSeed + shard}: ${tried}`);
  expect(wrong).toEqual([]);
  if (done < triedAfter) return;
  for (const what of ['merges', 'superseded', 'reads', 'swept', 'expired', 'faults', 'lostRaces'])
    expect(counts.get(what), what).toBeGreaterThan(done / 4);
}
