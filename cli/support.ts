import { runSubcommand } from '../lake/base/command.ts';

// `firn support COMMAND`: what a person who helps from afar needs.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn support', argv, {
    bundle: {
      summary: 'Collect logs, health and configuration without secrets in one file',
      load: () => import('../gateway/commands/support-bundle.ts'),
    },
  });
