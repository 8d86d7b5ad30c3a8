// `npm run conformance -- LANGUAGE [FLAGS]`: the cases of others' test suites (corpora beside the repository) against
// Firn. Each language is a file here. It ends with 1 when a case fails that no decision record foresees.

/** What came of the cases of one language. */
export interface Outcome {
  readonly passed: number;
  /** A case, and what is wrong. */
  readonly failed: readonly string[];
}

export interface ConformanceSuite {
  run(argv: readonly string[]): Promise<Outcome>;
}

const suites: Readonly<Record<string, () => Promise<ConformanceSuite>>> = {
  promql: () => import('./promql.ts'),
  logql: () => import('./logql.ts'),
};

const [name = '', ...argv] = process.argv.slice(2);
const load = suites[name];
if (load === undefined) {
  process.stderr.write(`usage: npm run conformance -- LANGUAGE\n\n  ${Object.keys(suites).join('\n  ')}\n`);
  process.exitCode = 1;
} else {
  const { passed, failed } = await (await load()).run(argv);
  for (const line of failed) process.stdout.write(`FAIL ${line}\n`);
  process.stdout.write(`${name}: ${passed} passed, ${failed.length} failed\n`);
  if (failed.length > 0 || passed === 0) process.exitCode = 1;
}
