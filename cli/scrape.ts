import { runSubcommand } from '../lake/base/command.ts';

// `firn scrape COMMAND`: about the targets that a gateway scrapes.

export const main = (argv: readonly string[]): Promise<number> =>
  runSubcommand('firn scrape', argv, {
    check: {
      summary: 'Say what is wrong in a file like prometheus.yml, and which targets it makes',
      load: () => import('../gateway/commands/scrape-check.ts'),
    },
  });
