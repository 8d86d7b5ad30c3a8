import { join } from 'node:path';
import type { Outcome } from './main.ts';
import { readCorpus, runCorpus } from './promqltest.ts';

const corpora = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora');

/** Prometheus' language scripts, in process. FLAGS: parts of case names (`functions.test:12`) to run only those. */
export async function run(argv: readonly string[]): Promise<Outcome> {
  const corpus = readCorpus(join(corpora, 'promqltest'));
  if (corpus === undefined) return { passed: 0, failed: [`there is no corpus in ${corpora}`] };
  return runCorpus(corpus, ({ id }) => argv.length === 0 || argv.some((part) => id.includes(part)));
}
