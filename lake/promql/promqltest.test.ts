import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readCorpus, runCorpus } from '../../test/conformance/promqltest.ts';

// Prometheus' own acceptance scripts, from the corpus beside the repository.

const corpus = readCorpus(join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora', 'promqltest'));

test.skipIf(corpus === undefined)(
  'every acceptance case passes, as an instant query and inside a range',
  async () => {
    if (corpus === undefined) return;
    const { passed, failed } = await runCorpus(corpus, () => true);
    expect(failed).toEqual([]);
    expect(passed).toBeGreaterThan(1300);
  },
);
