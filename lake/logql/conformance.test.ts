import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { corpusFolder, runInProcess } from '../../test/conformance/logql.ts';

// Loki's own cases of the language and its pipelines, from the corpus beside the repository. `npm run conformance -- logql`
// also runs those of its engine and its scripts, over HTTP.

test.skipIf(!existsSync(corpusFolder))('every case passes (skipped where the corpus is absent)', () => {
  let passed = 0;
  const failed: string[] = [];
  runInProcess((id, why) => {
    if (why === undefined) passed++;
    else failed.push(`${id}: ${why}`);
  });
  expect(failed).toEqual([]);
  expect(passed).toBeGreaterThan(800);
});
