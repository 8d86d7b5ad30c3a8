import { z } from 'zod';
import { jsonFlag, runCommand } from '../../lake/base/command.ts';
import { cloudApiSettings, openCloudApi } from './cloud-api.ts';
import { textTable } from './print-table.ts';

const answer = z.object({
  tables: z.array(
    z.object({
      ...{ name: z.string(), rows: z.number(), updated: z.string() },
      columns: z.array(z.object({ name: z.string(), type: z.string() })),
    }),
  ),
});

const command = {
  name: 'firn tables list',
  about: 'Shows the tables that were loaded.',
  flags: [jsonFlag],
  positionals: [],
  settings: cloudApiSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const data = await openCloudApi(line.rest).call('GET', '/api/v1/firn/tables');
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(data)}\n`);
    else {
      const rows = answer
        .parse(data)
        .tables.map(({ name, rows: count, updated, columns }) => [
          ...[name, count, updated],
          columns.map((column) => column.name).join(', '),
        ]);
      process.stdout.write(textTable(['TABLE', 'ROWS', 'LOADED', 'COLUMNS'], rows));
    }
    return 0;
  });
}
