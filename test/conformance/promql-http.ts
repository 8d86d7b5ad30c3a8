import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type CaseResult, corpora, runCorpusRunner, twoAtATime } from './corpus-runner.ts';
import type { Outcome } from './main.ts';
import { startTenantGateways } from './tenant-gateways.ts';

// Prometheus' language scripts against gateways: the corpora's own runner writes by remote write and asks over HTTP. It
// compares values, warnings and the texts of errors, and asks instant questions as ranges too.

/** Decision 0031: the runner expects of an answer what Prometheus itself does not write. */
const expectedFailures = new Map(
  ['native_histograms.test:964', 'native_histograms.test:988', 'native_histograms.test:1596'].map((id) => [
    id,
    /buckets want .*\(-0\.001, 0\.001, -\d/,
  ]),
);

interface Result extends CaseResult {
  readonly expr: string;
}

/** Runs the scripts of these names (all of them when absent), two at a time, each on gateways of its own. */
export async function runOverHttp(names?: readonly string[]): Promise<Outcome> {
  const folder = join(corpora ?? '', 'promqltest', 'dev');
  const failed: string[] = [];
  let passed = 0;
  await twoAtATime(names ?? readdirSync(folder).filter((name) => name.endsWith('.test')), async (name) => {
    await using gateways = await startTenantGateways();
    const argv = [
      ...['--base', gateways.base, '--cases', join(folder, 'cases.jsonl')],
      ...['--annotations', '--also-range', join(folder, name)],
    ];
    const { results, said } = await runCorpusRunner<Result>('run_promqltest.py', () => argv);
    failed.push(...said);
    for (const result of results) {
      const why = verdictOf(result);
      if (why === undefined) passed++;
      else failed.push(`${result.id} over HTTP: ${result.expr}: ${why}`);
    }
  });
  return { passed, failed };
}

function verdictOf({ id, ok, why }: Result): string | undefined {
  const expected = expectedFailures.get(id);
  if (expected === undefined) return ok ? undefined : (why ?? 'it failed');
  if (ok) return 'passes, although decision 0031 says that it does not';
  return expected.test(why ?? '') ? undefined : (why ?? 'it failed');
}
