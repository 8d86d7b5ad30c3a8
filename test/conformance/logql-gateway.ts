import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type CaseResult, corpora, runCorpusRunner, twoAtATime } from './corpus-runner.ts';
import { type Command, type Expected, parseScript } from './logql-scripts.ts';
import type { Outcome } from './main.ts';
import { startTenantGateways } from './tenant-gateways.ts';

// Loki's scripts against gateways: the corpora's own runner pushes and asks over HTTP. It imports a reader of scripts
// that is not in the corpora, `logqltest_build`; a module in its place gives it what our reader has read.

interface Result extends CaseResult {
  readonly query: string;
}

/** Runs the scripts of these names (all of them when absent), two at a time, each on gateways of its own. */
export async function runScriptsOnGateways(names?: readonly string[]): Promise<Outcome> {
  const folder = join(corpora ?? '', 'logql', 'logqltest', 'dev');
  const failed: string[] = [];
  let passed = 0;
  await twoAtATime(
    names ?? readdirSync(folder).filter((name) => name.endsWith('.logqltest')),
    async (name) => {
      const path = join(folder, name);
      const commands = parseScript(readFileSync(path, 'utf8')).map(runnersCommand);
      await using gateways = await startTenantGateways(addNothing);
      const { results, said } = await runCorpusRunner<Result>(
        'run_logqltest.py',
        () => ['--base', gateways.base, path],
        { 'logqltest_build.py': readerModule, 'commands.json': JSON.stringify(commands) },
      );
      failed.push(...said);
      for (const { id, ok, query, why } of results)
        if (ok) passed++;
        else failed.push(`${id} over HTTP: ${query}: ${why}`);
    },
  );
  return { passed, failed };
}

/** The scripts expect the labels that they have sent. */
const addNothing = ['--loki-discover-service-name', 'false', '--loki-discover-log-levels', 'false'];

/** Python: `parse` of one script, whatever its text is. */
const readerModule = `import json, os
def parse(text):
    with open(os.path.join(os.path.dirname(__file__), 'commands.json')) as commands:
        return json.load(commands)
`;

/** A command in the words of the runner. */
function runnersCommand(command: Command): object {
  if (command.kind === 'clear') return { cmd: 'clear' };
  if (command.kind === 'load') return { cmd: 'load', line: command.line, streams: command.streams };
  const { line, query, times, expected } = command;
  const when =
    'atMs' in times
      ? { mode: 'instant', at_ms: times.atMs }
      : { mode: 'range', start_ms: times.startMs, end_ms: times.endMs, step_ms: times.stepMs };
  return { cmd: 'eval', line, query, ...when, expect: runnersExpectation(expected, 'atMs' in times) };
}

function runnersExpectation({ empty, ordered, fail, scalar, series }: Expected, isInstant: boolean): object {
  const wanted = series.map(({ labels, points }) => ({ labels, values: points.map(runnersNumber) }));
  const common = { ordered, series: wanted };
  if (fail !== undefined) {
    const match = fail.text === undefined ? 'any' : fail.regexp ? 'regex' : 'contains';
    return { ...common, kind: 'fail', fail: { match, text: fail.text ?? '' } };
  }
  if (empty) return { ...common, kind: 'empty' };
  if (scalar !== undefined) return { ...common, kind: 'scalar', scalar: runnersNumber(scalar) };
  return { ...common, kind: isInstant ? 'vector' : 'matrix' };
}

/** JSON has no NaN; null is a gap. */
const runnersNumber = (value: number | undefined): number | string | null =>
  value === undefined ? null : Number.isFinite(value) ? value : String(value).replace('Infinity', 'Inf');
