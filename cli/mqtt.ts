import { wantsHelp } from '../lake/base/config.ts';

// `firn mqtt COMMAND`: what belongs to the MQTT broker of a gateway.

interface Command {
  readonly summary: string;
  readonly load: () => Promise<{ main(argv: readonly string[]): Promise<number> }>;
}

const commands: Readonly<Record<string, Command>> = {
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
};

function help(): string {
  const lines = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
  return `usage: firn mqtt COMMAND [FLAGS]\n\n${lines.join('\n')}\n\nfirn mqtt COMMAND --help shows its flags.\n`;
}

export async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  const command = commands[name];
  if (command) return (await command.load()).main(rest);
  if (argv.length > 0 && !wantsHelp(argv) && name !== 'help') {
    process.stderr.write(`firn mqtt: there is no command ${JSON.stringify(name)}\n\n${help()}`);
    return 1;
  }
  process.stdout.write(help());
  return 0;
}
