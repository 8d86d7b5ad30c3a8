import { setTimeout as delay } from 'node:timers/promises';
import { expect } from 'vitest';
import { damageNames } from './damage.ts';
import { simulate } from './schedule.ts';
import { withoutStacks } from './without-stacks.ts';

/** Schedules of a whole run; FIRN_SIMULATE_SCHEDULES and FIRN_SIMULATE_SEED choose others. */
const schedules = Number(process.env.FIRN_SIMULATE_SCHEDULES ?? 10_000);
const firstSeed = Number(process.env.FIRN_SIMULATE_SEED ?? 1);
/** Each is a test file of its own, so that they run side by side. */
const shards = 2;
/** The first failures say enough. */
const failuresMax = 5;

/** What must have happened at least once in so many schedules, or the run has tried too little. */
const tried = [
  ...['outage', 'lost', 'lost-reply', 'twice', 'late', 'refused', 'clock jumped', 'object replayed'],
  ...['gateway killed', 'gateway died at a step', 'cloud killed', 'append refused'],
  ...damageNames,
];
const triedAfter = 500;

/** Real time: a schedule takes a tenth of a second. */
const scheduleMsMax = 120_000;

async function inTime(seed: number): ReturnType<typeof simulate> {
  const ended = new AbortController();
  const tooLong = delay(scheduleMsMax, undefined, { signal: ended.signal }).then(() => {
    throw new Error(`seed ${seed} does not end`);
  });
  try {
    return await Promise.race([simulate(seed), tooLong]);
  } finally {
    ended.abort();
  }
}

/** Runs one shard's seeds, and prints what was tried. */
export async function runSchedules(shard: number): Promise<void> {
  const wrong: string[] = [];
  const counts = new Map<string, number>();
  let [done, acknowledged] = [0, 0];
  for (let seed = firstSeed + shard; seed < firstSeed + schedules; seed += shards) {
    const outcome = await withoutStacks(() => inTime(seed));
    wrong.push(...outcome.wrong.slice(0, 3));
    done++;
    acknowledged += outcome.acknowledged;
    for (const [what, times] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + times);
    if (wrong.length >= failuresMax) break;
  }
  const faults = [...counts].map(([what, times]) => `${what} ${times}`).join(', ');
  console.log(
    `${done} schedules, every ${shards}. seed from ${firstSeed + shard}: ${acknowledged} rows acknowledged; ${faults}`,
  );
  expect(wrong).toEqual([]);
  if (done >= triedAfter) expect(tried.filter((what) => !counts.has(what))).toEqual([]);
}
