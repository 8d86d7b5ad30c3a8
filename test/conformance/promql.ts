import { join } from 'node:path';
import { whyNoRunner } from './corpus-runner.ts';
import type { Outcome } from './main.ts';
import { runOverHttp } from './promql-http.ts';
import { readCorpus, runCorpus } from './promqltest.ts';

const corpora = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora');

/**
 * Prometheus' language scripts, in process and then over HTTP against gateways. FLAGS: parts of case names
 * (`functions.test:12`) to run only those, in process.
 */
export async function run(argv: readonly string[]): Promise<Outcome> {
  const corpus = readCorpus(join(corpora, 'promqltest'));
  if (corpus === undefined) return { passed: 0, failed: [`there is no corpus in ${corpora}`] };
  const inProcess = await runCorpus(
    corpus,
    ({ id }) => argv.length === 0 || argv.some((part) => id.includes(part)),
  );
  if (argv.length > 0) return inProcess;
  if (whyNoRunner !== undefined) {
    process.stdout.write(`over HTTP: skipped, ${whyNoRunner}\n`);
    return inProcess;
  }
  const overHttp = await runOverHttp();
  process.stdout.write(`in process: ${inProcess.passed} passed; over HTTP: ${overHttp.passed} passed\n`);
  return {
    passed: inProcess.passed + overHttp.passed,
    failed: [...inProcess.failed, ...overHttp.failed],
  };
}
