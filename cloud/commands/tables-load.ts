import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { jsonFlag, runCommand } from '../../lake/base/command.ts';
import { cloudApiSettings, openCloudApi } from './cloud-api.ts';
import { textTable } from './print-table.ts';

const answer = z.object({
  ...{ name: z.string(), rows: z.number(), rowsLoaded: z.number() },
  columns: z.array(z.object({ name: z.string(), type: z.string() })),
});

const command = {
  name: 'firn tables load',
  about:
    'Loads a CSV file with a header line as a table, which SQL can join with telemetry. Types are found in the file.',
  flags: [
    {
      flag: '--append',
      description: 'Add to the table; new columns are added, types widened. Otherwise it is replaced',
    },
    jsonFlag,
  ],
  positionals: ['NAME', 'FILE'],
  settings: cloudApiSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const [name = '', file = ''] = line.positionals;
    const mode = line.isSet('--append') ? 'append' : 'replace';
    const path = `/api/v1/firn/tables/${encodeURIComponent(name)}?mode=${mode}`;
    const data = await openCloudApi(line.rest).call('POST', path, { csv: await readFile(file) });
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(data)}\n`);
    else {
      const { rows, rowsLoaded, columns } = answer.parse(data);
      process.stdout.write(`loaded ${rowsLoaded} rows; ${name} has ${rows}\n`);
      process.stdout.write(
        textTable(
          ['COLUMN', 'TYPE'],
          columns.map((column) => [column.name, column.type]),
        ),
      );
    }
    return 0;
  });
}
