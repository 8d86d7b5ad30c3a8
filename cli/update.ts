import { runSubcommand } from '../lake/base/command.ts';

// `firn update COMMAND`: new versions of an appliance.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn update', argv, {
    install: {
      summary: 'Verify a signed bundle and write it to the other slot',
      load: () => import('../gateway/commands/update-install.ts'),
    },
    requested: {
      summary: 'Install what the cloud has asked for (run when it has)',
      load: () => import('../gateway/commands/update-requested.ts'),
    },
    status: {
      summary: 'Show the running version and slot',
      load: () => import('../gateway/commands/update-status.ts'),
    },
    confirm: {
      summary: 'Keep the version that was started, or go back (run at each start)',
      load: () => import('../gateway/commands/update-confirm.ts'),
    },
  });
