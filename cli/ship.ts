import { wantsHelp } from '../lake/base/config.ts';

// `firn ship COMMAND`: carries data and receipts where no network goes.

interface Command {
  readonly where: 'gateway' | 'cloud';
  readonly summary: string;
  readonly load: () => Promise<{ main(argv: readonly string[]): Promise<number> }>;
}

const commands: Readonly<Record<string, Command>> = {
  export: {
    where: 'gateway',
    summary: 'Put all that the cloud has not on a stick; take the receipt that is on it',
    load: () => import('../gateway/commands/ship-export.ts'),
  },
  receipt: {
    where: 'gateway',
    summary: 'Take a receipt that came some other way',
    load: () => import('../gateway/commands/ship-receipt.ts'),
  },
  status: {
    where: 'gateway',
    summary: 'Show what waits to be shipped, and the last receipt',
    load: () => import('../gateway/commands/ship-status.ts'),
  },
  key: {
    where: 'gateway',
    summary: 'Print the public key that signs bundles',
    load: () => import('../gateway/commands/ship-key.ts'),
  },
  'trust-cloud': {
    where: 'gateway',
    summary: 'Take the receipts of this cloud',
    load: () => import('../gateway/commands/ship-trust-cloud.ts'),
  },
  import: {
    where: 'cloud',
    summary: 'Take what is on a stick, exactly once, and leave the receipts on it',
    load: () => import('../cloud/commands/ship-import.ts'),
  },
  trust: {
    where: 'cloud',
    summary: 'Take the bundles of this gateway',
    load: () => import('../cloud/commands/ship-trust.ts'),
  },
  'cloud-key': {
    where: 'cloud',
    summary: 'Print the public key that signs receipts',
    load: () => import('../cloud/commands/ship-cloud-key.ts'),
  },
};

function help(): string {
  const lines = (where: Command['where']): string =>
    Object.entries(commands)
      .filter(([, command]) => command.where === where)
      .map(([name, { summary }]) => `  ${name.padEnd(13)}${summary}\n`)
      .join('');
  return `usage: firn ship COMMAND [FLAGS]

Carries data where no network goes: a gateway exports signed bundles to a USB stick, the cloud imports them and leaves a
receipt on the stick, and the receipt frees the gateway's disk at its next export.

On a gateway:
${lines('gateway')}
In the cloud:
${lines('cloud')}
firn ship COMMAND --help shows its flags.
`;
}

export async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  const command = commands[name];
  if (command) return (await command.load()).main(rest);
  if (argv.length > 0 && !wantsHelp(argv) && name !== 'help') {
    process.stderr.write(`firn ship: there is no command ${JSON.stringify(name)}\n\n${help()}`);
    return 1;
  }
  process.stdout.write(help());
  return 0;
}
