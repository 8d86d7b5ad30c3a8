import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { findProgram, sharedFolder } from '../harness/programs.ts';
import type { Outcome } from './main.ts';
import { startTenantGateways } from './tenant-gateways.ts';

// Prometheus' language scripts against gateways: the corpora's own runner writes by remote write and asks over HTTP. It
// compares values, warnings and the texts of errors, and asks instant questions as ranges too.

const corpora = sharedFolder && join(sharedFolder, 'corpora');
const python = findProgram('python3');

/** Why it can't run here; undefined when it can. */
export const whyNoHttp =
  corpora === undefined ? 'there are no corpora' : python === undefined ? 'there is no python3' : undefined;

/** Decision 0031: the runner expects of an answer what Prometheus itself does not write. */
const expectedFailures = new Map(
  ['native_histograms.test:964', 'native_histograms.test:988', 'native_histograms.test:1596'].map((id) => [
    id,
    /buckets want .*\(-0\.001, 0\.001, -\d/,
  ]),
);

interface Result {
  readonly id: string;
  readonly ok: boolean;
  readonly expr: string;
  readonly why: string | null;
}

/** Runs the scripts of these names (all of them when absent), two at a time, each on gateways of its own. */
export async function runOverHttp(names?: readonly string[]): Promise<Outcome> {
  const folder = join(corpora ?? '', 'promqltest', 'dev');
  const waiting = [...(names ?? readdirSync(folder).filter((name) => name.endsWith('.test')))];
  const failed: string[] = [];
  let passed = 0;
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const { results, said } = await runScript(join(folder, name));
      // Only what went wrong is said: a load that was refused, for example.
      failed.push(...said);
      for (const result of results) {
        const why = verdictOf(result);
        if (why === undefined) passed++;
        else failed.push(`${result.id} over HTTP: ${result.expr}: ${why}`);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
  return { passed, failed };
}

function verdictOf({ id, ok, why }: Result): string | undefined {
  const expected = expectedFailures.get(id);
  if (expected === undefined) return ok ? undefined : (why ?? 'it failed');
  if (ok) return 'passes, although decision 0031 says that it does not';
  return expected.test(why ?? '') ? undefined : (why ?? 'it failed');
}

async function runScript(path: string): Promise<{ results: Result[]; said: string[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-promqltest-'));
  const out = join(folder, 'results.jsonl');
  try {
    await using gateways = await startTenantGateways();
    const runner = join(corpora ?? '', 'tools', 'run_promqltest.py');
    const cases = join(corpora ?? '', 'promqltest', 'dev', 'cases.jsonl');
    const argv = [
      '--base',
      gateways.base,
      '--cases',
      cases,
      '--out',
      out,
      '--annotations',
      '--also-range',
      path,
    ];
    const child = spawn(python ?? '', [runner, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    const ended = once(child, 'exit');
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    await ended;
    const lines = readFileSync(out, 'utf8').split('\n');
    const results = lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Result);
    const said = stdout.split('\n').filter((line) => line.startsWith('LOAD FAILED'));
    if (child.exitCode !== 0) said.push(`${runner} ended with ${child.exitCode}: ${stderr}`);
    return { results, said };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
