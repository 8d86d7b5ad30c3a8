import { expect, test } from 'vitest';
import { simulate } from './schedule.ts';

const schedules = Number(process.env.FIRN_SIMULATE_SCHEDULES ?? 200);
const firstSeed = Number(process.env.FIRN_SIMULATE_SEED ?? 1);

test(`${schedules} schedules from seed ${firstSeed}`, async () => {
  const wrong: string[] = [];
  const counts = new Map<string, number>();
  let acknowledged = 0;
  const t = performance.now();
  for (let seed = firstSeed; seed < firstSeed + schedules; seed++) {
    const outcome = await simulate(seed);
    wrong.push(...outcome.wrong);
    acknowledged += outcome.acknowledged;
    for (const [what, times] of outcome.counts) counts.set(what, (counts.get(what) ?? 0) + times);
  }
  console.log((performance.now() - t) / schedules, 'ms each', acknowledged, counts);
  expect(wrong).toEqual([]);
}, 600_000);
