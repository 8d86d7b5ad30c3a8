import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readCorpus, runCorpus } from '../../test/conformance/promqltest.ts';

// Prometheus' own acceptance scripts, from the corpus beside the repository.

const corpus = readCorpus(join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora', 'promqltest'));

/** What cases need that the lake does not hold: native histograms and start timestamps. */
const notStored: ReadonlySet<string> = new Set(['native_histograms', 'load_with_nhcb', 'start_timestamps']);

test.skipIf(corpus === undefined)(
  'every acceptance case over float samples passes, as an instant query and inside a range',
  async () => {
    if (corpus === undefined) return;
    const { passed, failed } = await runCorpus(
      corpus,
      ({ needs }) => !needs.some((need) => notStored.has(need)),
    );
    expect(failed.filter((line) => !line.endsWith(': histograms'))).toEqual([]);
    expect(passed).toBeGreaterThan(750);
  },
);
