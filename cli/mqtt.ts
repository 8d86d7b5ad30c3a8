import { runSubcommand } from '../lake/base/command.ts';

// `firn mqtt COMMAND`: what belongs to the MQTT broker of a gateway.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn mqtt', argv, {
    user: {
      summary: 'Add, list and remove users',
      load: () => import('../gateway/commands/mqtt-user.ts'),
    },
    'dry-run': {
      summary: 'Show what mapping rules would make of messages',
      load: () => import('../gateway/commands/mqtt-dry-run.ts'),
    },
    capture: {
      summary: 'Record messages of a broker for a dry run',
      load: () => import('../gateway/commands/mqtt-capture.ts'),
    },
  });
