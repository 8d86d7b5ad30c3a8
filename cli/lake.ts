import { runSubcommand } from '../lake/base/command.ts';

// `firn lake COMMAND`: looks after the tables of a cloud, whose configuration each is given.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn lake', argv, {
    check: {
      summary: 'Find what is wrong with tables',
      load: () => import('../cloud/commands/lake-check.ts'),
    },
    repair: {
      summary: 'Propose what to do about it, and do it with --apply',
      load: () => import('../cloud/commands/lake-repair.ts'),
    },
  });
