import { wantsHelp } from '../lake/base/config.ts';

// `firn tables COMMAND`: a tenant's own tables.

const commands: Readonly<Record<string, () => Promise<{ main(argv: readonly string[]): Promise<number> }>>> =
  {
    load: () => import('../cloud/commands/tables-load.ts'),
    list: () => import('../cloud/commands/tables-list.ts'),
  };

const help = `usage: firn tables COMMAND [FLAGS]

  load  Load a CSV file as a table, or add it to one
  list  Show the tables

firn tables COMMAND --help shows its flags.
`;

export async function main(argv: readonly string[]): Promise<number> {
  const [name = '', ...rest] = argv;
  const load = commands[name];
  if (load) return (await load()).main(rest);
  if (argv.length > 0 && !wantsHelp(argv) && name !== 'help') {
    process.stderr.write(`firn tables: there is no command ${JSON.stringify(name)}\n\n${help}`);
    return 1;
  }
  process.stdout.write(help);
  return 0;
}
