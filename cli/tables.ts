import { runSubcommand } from '../lake/base/command.ts';

// `firn tables COMMAND`: a tenant's own tables.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn tables', argv, {
    load: {
      summary: 'Load a CSV file as a table, or add it to one',
      load: () => import('../cloud/commands/tables-load.ts'),
    },
    list: { summary: 'Show the tables', load: () => import('../cloud/commands/tables-list.ts') },
  });
