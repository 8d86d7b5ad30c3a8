import { expect, test } from 'vitest';
import { brokenVariants } from './broken-variants.ts';
import { simulate } from './schedule.ts';

/** A twentieth of a CI run. The rule that is hardest to see shows in one schedule of about a hundred. */
const schedulesMax = 500;

test.each(Object.entries(brokenVariants))('the simulation notices %s', async (name, variant) => {
  const wrong: string[] = [];
  let schedules = 0;
  while (wrong.length === 0 && schedules < schedulesMax)
    wrong.push(...(await simulate(++schedules, variant)).wrong);
  console.log(`${name}: noticed in schedule ${schedules}: ${wrong[0]}`);
  expect(wrong.join('\n')).toMatch(/lost|times|gap/);
});
