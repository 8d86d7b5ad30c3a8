import { join } from 'node:path';
import { expect, test } from 'vitest';
import { readCorpus, runCase } from './promqltest.ts';

// Prometheus' own acceptance scripts, from the corpus beside the repository.

const corpus = readCorpus(join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora', 'promqltest'));

/** What cases need that the lake does not hold: native histograms and start timestamps. */
const notStored: ReadonlySet<string> = new Set(['native_histograms', 'load_with_nhcb', 'start_timestamps']);
/** Their value depends on the query being instant. */
const usesQueryTimes = /\b(start|end|range|step)\(\)/i;

test.skipIf(corpus === undefined)(
  'every acceptance case over float samples passes, as an instant query and inside a range',
  async () => {
    const cases = corpus?.cases ?? [];
    const wrong: string[] = [];
    let passed = 0;
    for (const one of cases) {
      if (corpus === undefined || one.needs.some((need) => notStored.has(need))) continue;
      const source = corpus.sourceOf(one);
      let why = await runCase(source, one);
      const also = one.mode === 'instant' && one.expect.kind === 'vector' && !usesQueryTimes.test(one.expr);
      if (why === undefined && also) why = await runCase(source, one, 'as range');
      if (why === undefined) passed++;
      else if (why !== 'histograms') wrong.push(`${one.id} ${one.expr}: ${why}`);
    }
    expect(wrong).toEqual([]);
    expect(passed).toBeGreaterThan(770);
  },
);
