import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { whyNoRunner } from './corpus-runner.ts';
import { inProcess } from './logql-cases.ts';
import { runEngineCases } from './logql-engine.ts';
import { runScriptsOnGateways } from './logql-gateway.ts';
import { runScripts } from './logql-http.ts';
import type { EngineRow, RowsInProcess } from './logql-rows.ts';
import { startLogqlServer } from './logql-server.ts';
import type { Outcome } from './main.ts';

export const corpusFolder = join(import.meta.dirname, '..', '..', '..', 'shared', 'corpora', 'logql');

type ReportCase = (id: string, why: string | undefined) => void;

/**
 * Loki's own cases: parsing, printing and pipelines in process, the engine's cases and the scripts through push and
 * query over HTTP; then the scripts once more, by the corpora's own runner against gateways. FLAGS: parts of case names
 * to run only those, without gateways.
 */
export async function run(argv: readonly string[]): Promise<Outcome> {
  const here = await outcomeOf(argv, async (report) => {
    runInProcess(report);
    await using server = await startLogqlServer();
    await runEngineCases(server.base, rowsOf<EngineRow>('engine'), report);
    await runScripts(server.base, join(corpusFolder, 'logqltest', 'dev'), report);
  });
  if (argv.length > 0) return here;
  if (whyNoRunner !== undefined) {
    process.stdout.write(`against gateways: skipped, ${whyNoRunner}\n`);
    return here;
  }
  const gateways = await runScriptsOnGateways();
  process.stdout.write(
    `of parts: ${here.passed} passed; scripts against gateways: ${gateways.passed} passed\n`,
  );
  return { passed: here.passed + gateways.passed, failed: [...here.failed, ...gateways.failed] };
}

/** Those that need no server. */
export function runInProcess(report: ReportCase): void {
  for (const name of Object.keys(inProcess) as (keyof RowsInProcess)[]) runFile(name, report);
}

function runFile<Name extends keyof RowsInProcess>(name: Name, report: ReportCase): void {
  const check = inProcess[name];
  for (const row of rowsOf<RowsInProcess[Name]>(name)) report(`${name} ${row.id}`, check(row));
}

async function outcomeOf(
  argv: readonly string[],
  cases: (report: ReportCase) => Promise<void>,
): Promise<Outcome> {
  if (!existsSync(corpusFolder)) return { passed: 0, failed: [`there is no corpus in ${corpusFolder}`] };
  let passed = 0;
  const failed: string[] = [];
  await cases((id, why) => {
    if (argv.length > 0 && !argv.some((part) => id.includes(part))) return;
    if (why === undefined) passed++;
    else failed.push(`${id}\n     ${why}`);
  });
  return { passed, failed };
}

function rowsOf<Row>(name: string): readonly Row[] {
  const path = join(corpusFolder, 'dev', `${name}.jsonl`);
  if (!existsSync(path)) return [];
  const lines = readFileSync(path, 'utf8').split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Row);
}
