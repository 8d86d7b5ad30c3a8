import { z } from 'zod';
import { jsonFlag, runCommand } from '../../lake/base/command.ts';
import { queryOf } from './admin-command.ts';
import { cloudApiSettings, openCloudApi } from './cloud-api.ts';
import { textTable } from './print-table.ts';

const linesSchema = z.array(
  z.object({
    ...{ at: z.string(), actor: z.string(), address: z.string(), action: z.string() },
    ...{ tenant: z.string().nullable(), subject: z.string(), result: z.string() },
  }),
);

const command = {
  name: 'firn audit',
  about: 'Who changed tenants and keys, from where, the newest first; with the key of an operator.',
  flags: [
    { flag: '--tenant', value: 'TENANT', description: 'Changes of this tenant only' },
    { flag: '--limit', value: 'N', description: 'Lines, at most 1000 (default 100)' },
    jsonFlag,
  ],
  positionals: [],
  settings: cloudApiSettings,
};

export function main(argv: readonly string[]): Promise<number> {
  return runCommand(command, argv, async (line) => {
    const query = queryOf(line, ['tenant', 'limit']);
    const data = await openCloudApi(line.rest).call('GET', `/api/v1/firn/admin/audit?${query}`);
    if (line.isSet('--json')) process.stdout.write(`${JSON.stringify(data)}\n`);
    else {
      const lines = linesSchema.parse(data);
      const columns = ['TIME', 'ACTION', 'TENANT', 'SUBJECT', 'RESULT', 'BY', 'FROM'];
      const rows = lines.map(({ at, action, tenant, subject, result, actor, address }) => [
        at,
        action,
        tenant,
        subject,
        result,
        actor,
        address,
      ]);
      process.stdout.write(textTable(columns, rows));
    }
    return 0;
  });
}
