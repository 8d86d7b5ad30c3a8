import { runSubcommand } from '../lake/base/command.ts';

// `firn appliance COMMAND`: a device that was flashed with an image.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn appliance', argv, {
    setup: {
      summary: 'Take the personalisation file, make what is missing (run at each start)',
      load: () => import('../gateway/commands/appliance-setup.ts'),
    },
    announce: {
      summary: 'Show on the consoles how far it is on its way to its cloud (run when that changes)',
      load: () => import('../gateway/commands/appliance-announce.ts'),
    },
    stick: {
      summary: 'Do what a USB stick asks for (run when one is plugged in)',
      load: () => import('../gateway/commands/appliance-stick.ts'),
    },
    reset: {
      summary: 'Make it as it was when it was flashed; its data stays or goes',
      load: () => import('../gateway/commands/appliance-reset.ts'),
    },
  });
