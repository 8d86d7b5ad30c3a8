import { type Command, runCommand } from '../../lake/base/command.ts';
import { describeRepair, repairTable } from '../catalog/repair-table.ts';
import { cloudSettings, loadCloudConfig } from '../config.ts';
import { checkFlags, checkTables, tableFlags } from './checked-tables.ts';

const command: Command = {
  name: 'firn lake repair',
  about:
    'Checks the tables as `firn lake check` does and proposes what to do; with --apply it does it. A table is never changed in place: a repair is a new version, so the state before it stays in the object store until maintenance removes it.',
  flags: [
    ...tableFlags,
    ...checkFlags,
    { flag: '--apply', description: 'Do it' },
    {
      flag: '--drop-files',
      description: 'With --apply: take lost data files out of the tables, with their rows',
    },
  ],
  positionals: [],
  settings: cloudSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const apply = line.isSet('--apply');
    let left = 0;
    const results: object[] = [];
    await checkTables(loadCloudConfig(line.rest), line, async ({ name, table, check: { problems } }) => {
      const done = apply ? await repairTable(table, problems, { dropFiles: line.isSet('--drop-files') }) : [];
      if (problems.length > 0 && done.length === 0) left++;
      const proposals = problems.map(({ object, what, repair }) => ({
        object,
        what,
        proposal: describeRepair(repair),
      }));
      results.push({ table: name, proposals, done });
      if (!line.isSet('--json')) process.stdout.write(textOf(name, proposals, done));
    });
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(results)}\n`);
    return left > 0 ? 1 : 0;
  });
}

function textOf(
  name: string,
  proposals: readonly { readonly object: string; readonly what: string; readonly proposal: string }[],
  done: readonly string[],
): string {
  const found = proposals.map(
    ({ object, what, proposal }) => `  ${object}: ${what}\n    proposal: ${proposal}\n`,
  );
  return `${name}: ${proposals.length === 0 ? 'whole' : `${proposals.length} problems`}\n${found.join('')}${done.map((each) => `  done: ${each}\n`).join('')}`;
}
