import { type Command, runCommand } from '../../lake/base/command.ts';
import { describeRepair } from '../catalog/repair-table.ts';
import { cloudSettings, loadCloudConfig } from '../config.ts';
import { type CheckedTable, checkFlags, checkTables, tableFlags } from './checked-tables.ts';

const command: Command = {
  name: 'firn lake check',
  about:
    'Looks at everything that the tables need: metadata, manifests, high-water marks, and that each data file is there and as large as it should be. Changes nothing. Exit code 1: something is wrong.',
  flags: [...tableFlags, ...checkFlags],
  positionals: [],
  settings: cloudSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const checks = await checkTables(loadCloudConfig(line.rest), line);
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(checks.map(jsonOf))}\n`);
    else for (const each of checks) process.stdout.write(textOf(each));
    return checks.some(({ check }) => check.problems.length > 0) ? 1 : 0;
  });
}

const jsonOf = ({ name, check: { problems, ...counts } }: CheckedTable) => ({
  table: name,
  ...counts,
  problems: problems.map(({ object, what, repair }) => ({
    object,
    what,
    repair: repair.kind,
    ...(repair.kind === 'roll-back' && { snapshot: String(repair.snapshotId) }),
    proposal: describeRepair(repair),
  })),
});

function textOf({ name, check: { problems, snapshots, manifests, files } }: CheckedTable): string {
  const counts = `${snapshots} snapshots, ${manifests} manifests, ${files} files`;
  const lines = problems.map(
    ({ object, what, repair }) => `  ${object}: ${what}\n    ${describeRepair(repair)}\n`,
  );
  return `${name}: ${problems.length === 0 ? 'whole' : `${problems.length} problems`} (${counts})\n${lines.join('')}`;
}
