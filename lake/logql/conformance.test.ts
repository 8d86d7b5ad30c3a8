import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { corpusFolder, run } from '../../test/conformance/logql.ts';

// Loki's own cases, from the corpus beside the repository: the language in process, the engine and the scripts over HTTP.

test.skipIf(!existsSync(corpusFolder))(
  'every case of the corpus passes (skipped where it is absent)',
  { timeout: 600_000 },
  async () => {
    const { passed, failed } = await run([]);
    expect(failed).toEqual([]);
    expect(passed).toBeGreaterThan(1500);
  },
);
