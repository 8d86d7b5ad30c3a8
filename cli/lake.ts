import { wantsHelp } from '../lake/base/config.ts';

// `firn lake COMMAND`: looks after the tables of a cloud.

interface Command {
  readonly summary: string;
  readonly load: () => Promise<{ main(argv: readonly string[]): Promise<number> }>;
}

const commands: Readonly<Record<string, Command>> = {
  check: {
    summary: 'Find what is wrong with tables',
    load: () => import('../cloud/commands/lake-check.ts'),
  },
  repair: {
    summary: 'Propose what to do about it, and do it with --apply',
    load: () => import('../cloud/commands/lake-repair.ts'),
  },
};

function help(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(8)}${summary}\n`);
  return `usage: firn lake COMMAND [FLAGS]

Give each the configuration of the cloud.

${lines.join('')}
firn lake COMMAND --help shows its flags.
`;
}

export async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  const command = commands[name];
  if (command) return (await command.load()).main(rest);
  if (argv.length > 0 && !wantsHelp(argv) && name !== 'help') {
    process.stderr.write(`firn lake: there is no command ${JSON.stringify(name)}\n\n${help()}`);
    return 1;
  }
  process.stdout.write(help());
  return 0;
}
