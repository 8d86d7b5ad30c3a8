import { runSubcommand } from '../lake/base/command.ts';

// `firn provision COMMAND`: prepares devices before they are sent.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn provision', argv, {
    image: {
      summary: 'Write tenant, site, network and secrets into a copy of an image',
      load: () => import('../provisioning/commands/provision-image.ts'),
    },
  });
