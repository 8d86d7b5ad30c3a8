import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { findProgram, sharedFolder } from '../harness/programs.ts';

// The corpora's own programs, which run scripts against a server over HTTP and write what came of each case.

export const corpora = sharedFolder && join(sharedFolder, 'corpora');
const python = findProgram('python3');

/** Why they can't run here; undefined when they can. */
export const whyNoRunner =
  corpora === undefined ? 'there are no corpora' : python === undefined ? 'there is no python3' : undefined;

export interface CaseResult {
  readonly id: string;
  readonly ok: boolean;
  readonly why: string | null;
}

export interface RunnerOutput<Result> {
  readonly results: readonly Result[];
  /** What went wrong besides cases: a load that was refused, for example. */
  readonly said: readonly string[];
}

/** `files`: what it needs besides the corpora, by name; they are in the folder that `argv` is asked for. */
export async function runCorpusRunner<Result extends CaseResult>(
  runner: string,
  argv: (folder: string) => readonly string[],
  files: Readonly<Record<string, string>> = {},
): Promise<RunnerOutput<Result>> {
  const folder = mkdtempSync(join(tmpdir(), 'firn-corpus-'));
  const out = join(folder, 'results.jsonl');
  try {
    for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
    const program = join(corpora ?? '', 'tools', runner);
    const child = spawn(python ?? '', [program, '--out', out, ...argv(folder)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1' },
    });
    const ended = once(child, 'exit');
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    await ended;
    const said = stdout.split('\n').filter((line) => /^(?:LOAD|PUSH) FAILED/.test(line));
    if (child.exitCode !== 0) said.push(`${program} ended with ${child.exitCode}: ${stderr}`);
    const lines = existsSync(out) ? readFileSync(out, 'utf8').split('\n') : [];
    return { results: lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Result), said };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs the work of each name, two at a time. */
export async function twoAtATime(
  names: readonly string[],
  run: (name: string) => Promise<void>,
): Promise<void> {
  const waiting = [...names];
  const work = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) await run(name);
  };
  await Promise.all(Array.from({ length: Math.min(2, availableParallelism()) }, work));
}
