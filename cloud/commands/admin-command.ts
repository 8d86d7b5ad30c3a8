import { type CommandFlag, type CommandLine, jsonFlag, runCommand } from '../../lake/base/command.ts';
import { wantsHelp } from '../../lake/base/config.ts';
import { type CloudApi, cloudApiSettings, openCloudApi } from './cloud-api.ts';

/** One of several commands below a name, each of which asks the cloud for something and prints it. */
export interface AdminCommand {
  readonly summary: string;
  readonly flags: readonly CommandFlag[];
  readonly positionals: readonly string[];
  run(api: CloudApi, line: CommandLine): Promise<unknown>;
  /** What a person reads; `--json` prints what `run` gave. */
  print(data: unknown, line: CommandLine): string;
}

/** `firn NAME COMMAND …`. */
export async function runAdmin(
  name: string,
  about: string,
  commands: Readonly<Record<string, AdminCommand>>,
  argv: readonly string[],
): Promise<number> {
  const [verb = '', ...rest] = argv;
  const command = commands[verb];
  if (command) {
    const { summary, flags, positionals } = command;
    const described = { name: `firn ${name} ${verb}`, about: `${summary}.`, positionals };
    return runCommand(
      { ...described, flags: [...flags, jsonFlag], settings: cloudApiSettings },
      rest,
      async (line) => {
        const data = await command.run(openCloudApi(line.rest), line);
        process.stdout.write(line.isSet('--json') ? `${JSON.stringify(data)}\n` : command.print(data, line));
        return 0;
      },
    );
  }
  const lines = Object.entries(commands).map(([verb, { summary }]) => `  ${verb.padEnd(10)}${summary}\n`);
  const help = `usage: firn ${name} COMMAND [FLAGS]\n\n${about}\n\n${lines.join('')}\nfirn ${name} COMMAND --help shows its flags.\n`;
  if (argv.length > 0 && !wantsHelp(argv) && verb !== 'help') {
    process.stderr.write(`firn ${name}: there is no command ${JSON.stringify(verb)}\n\n${help}`);
    return 1;
  }
  process.stdout.write(help);
  return 0;
}

export const tenantFlag: CommandFlag = {
  ...{ flag: '--tenant', value: 'TENANT', required: true, description: 'Tenant that it is about' },
};

/** Where the admin API has what is of the tenant that a command names. */
export const tenantPath = (line: CommandLine): string =>
  `/api/v1/firn/admin/tenants/${encodeURIComponent(line.value('--tenant') ?? '')}`;

/** What flags say, as the query of a URL. */
export function queryOf(line: CommandLine, names: readonly string[]): URLSearchParams {
  const query = new URLSearchParams();
  for (const name of names) {
    const value = line.value(`--${name}`);
    if (value !== undefined) query.set(name, value);
  }
  return query;
}
