import { wantsHelp } from '../lake/base/config.ts';

// `firn scrape COMMAND`: about the targets that a gateway scrapes.

const usage = `usage: firn scrape check --config FILE

Commands:
  check  Say what is wrong in a file like prometheus.yml, and which targets it makes

firn scrape check --help shows its flags.
`;

export async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  if (name === 'check') return (await import('../gateway/commands/scrape-check.ts')).main(rest);
  if (argv.length > 0 && !wantsHelp(argv) && name !== 'help') {
    process.stderr.write(`firn scrape: there is no command ${JSON.stringify(name)}\n\n${usage}`);
    return 1;
  }
  process.stdout.write(usage);
  return 0;
}
