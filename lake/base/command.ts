import { printSettings, type Setting, wantsHelp } from './config.ts';
import { FirnError } from './errors.ts';
import { describeFailure } from './service.ts';

/** A command that does one thing and ends. */
export interface Command {
  /** As it is typed: `firn ship export`. */
  readonly name: string;
  /** What it does, in a sentence or two. */
  readonly about: string;
  readonly flags: readonly CommandFlag[];
  /** Names of its arguments, all of them needed. */
  readonly positionals: readonly string[];
  /** Settings of the process that it belongs to: their flags are passed on. */
  readonly settings: readonly Setting[];
}

export interface CommandFlag {
  readonly flag: string;
  /** What its value is called; absent: it is on or off. */
  readonly value?: string;
  readonly required?: boolean;
  readonly description: string;
}

export interface CommandLine {
  /** The value of a flag; undefined when it is not given. */
  value(flag: string): string | undefined;
  isSet(flag: string): boolean;
  readonly positionals: readonly string[];
  /** Flags of `settings`, to be read as configuration. */
  readonly rest: readonly string[];
}

export const jsonFlag: CommandFlag = { flag: '--json', description: 'Print one JSON document' };

/** Help, or the command's run; an error is one line, its hint below it, and exit code 1. */
export async function runCommand(
  command: Command,
  argv: readonly string[],
  run: (line: CommandLine) => Promise<number>,
): Promise<number> {
  if (wantsHelp(argv)) {
    process.stdout.write(helpOf(command));
    return 0;
  }
  try {
    return await run(readCommandLine(command, argv));
  } catch (error) {
    process.stderr.write(`${describeFailure(command.name, error)}\n`);
    return 1;
  }
}

function helpOf({ name, about, flags, positionals, settings }: Command): string {
  const typed = flags.map(({ flag, value }) => (value === undefined ? flag : `${flag} ${value}`));
  const width = Math.max(0, ...typed.map((text) => text.length)) + 2;
  const lines = flags.map(
    ({ description }, index) => `  ${(typed[index] ?? '').padEnd(width)}${description}`,
  );
  const needed = flags.flatMap(({ required }, index) => (required ? [typed[index] ?? ''] : []));
  const usage = [name, ...needed, ...positionals, '[FLAGS]'].join(' ');
  const configuration =
    settings.length === 0
      ? ''
      : `\nConfiguration:\n  --config FILE  YAML or JSON\n${printSettings(settings)}\n`;
  const own = lines.length === 0 ? '' : `\n${lines.join('\n')}\n`;
  return `usage: ${usage}\n\n${about}\n${own}${configuration}`;
}

/** Throws FirnError `invalid` that names what is wrong. */
export function readCommandLine(command: Command, argv: readonly string[]): CommandLine {
  const values = new Map<string, string>();
  const positionals: string[] = [];
  const rest: string[] = [];
  for (let index = 0; index < argv.length; index++) {
    const argument = argv[index] ?? '';
    const equals = argument.startsWith('--') ? argument.indexOf('=') : -1;
    const flag = equals < 0 ? argument : argument.slice(0, equals);
    const inline = equals < 0 ? undefined : argument.slice(equals + 1);
    const own = command.flags.find((each) => each.flag === flag);
    const next = argv[index + 1];
    if (own) {
      const value = own.value === undefined ? (inline ?? 'true') : (inline ?? next);
      if (value === undefined) throw refused(command, `${flag} needs a value`);
      if (own.value !== undefined && inline === undefined) index++;
      values.set(flag, value);
    } else if (argument.startsWith('--')) {
      rest.push(argument);
      const isSwitch = command.settings.some(
        (setting) => setting.flag === flag && setting.type === 'boolean',
      );
      const takesNext = inline === undefined && next !== undefined && !next.startsWith('--');
      if (takesNext && !(isSwitch && next !== 'true' && next !== 'false')) rest.push(argv[++index] ?? '');
    } else positionals.push(argument);
  }
  for (const { flag, value, required } of command.flags)
    if (required && !values.has(flag)) throw refused(command, `${flag} ${value ?? ''} is missing`);
  if (positionals.length < command.positionals.length)
    throw refused(command, `${command.positionals[positionals.length]} is missing`);
  if (positionals.length > command.positionals.length)
    throw refused(
      command,
      `there is no argument for ${JSON.stringify(positionals[command.positionals.length])}`,
    );
  if (command.settings.length === 0 && rest[0] !== undefined)
    throw refused(command, `there is no flag ${rest[0]}`);
  return {
    value: (flag) => values.get(flag),
    isSet: (flag) => values.get(flag) === 'true',
    positionals,
    rest,
  };
}

function refused({ name }: Command, why: string): FirnError {
  return new FirnError({
    code: 'invalid',
    operation: 'read arguments',
    subject: name,
    message: why,
    hint: `see ${name} --help`,
  });
}

export interface Subcommand {
  readonly summary: string;
  readonly load: () => Promise<{ main(argv: readonly string[]): Promise<number> }>;
}

/** Runs the command that `argv` begins with, or shows which there are. `name` as it is typed: `firn update`. */
export async function runSubcommand(
  name: string,
  argv: readonly string[],
  commands: Readonly<Record<string, Subcommand>>,
): Promise<number> {
  const [first = '', ...rest] = argv;
  const command = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (command) return (await command.load()).main(rest);
  const width = Math.max(...Object.keys(commands).map((each) => each.length)) + 2;
  const lines = Object.entries(commands).map(([each, { summary }]) => `  ${each.padEnd(width)}${summary}\n`);
  const help = `usage: ${name} COMMAND [FLAGS]\n\n${lines.join('')}\n${name} COMMAND --help shows its flags.\n`;
  if (argv.length === 0 || wantsHelp(argv) || first === 'help') {
    process.stdout.write(help);
    return 0;
  }
  process.stderr.write(`${name}: there is no command ${JSON.stringify(first)}\n\n${help}`);
  return 1;
}
