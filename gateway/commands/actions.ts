import { type Command, type CommandLine, runCommand } from '../../lake/base/command.ts';

/** One of several small commands that stand in one file. */
export interface Action {
  readonly command: Command;
  readonly run: (line: CommandLine) => Promise<number>;
}

/** Runs the one that `argv` begins with, or shows which there are. */
export async function runActions(
  actions: Readonly<Record<string, Action>>,
  argv: readonly string[],
): Promise<number> {
  const [name = '', ...rest] = argv;
  const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
  if (action) return runCommand(action.command, rest, action.run);
  const commands = Object.values(actions).map(({ command }) => command);
  const lines = commands.map((command) => `  ${[command.name, ...command.positionals].join(' ')}\n`);
  const help = `usage:\n${lines.join('')}\n${commands[0]?.name} --help shows more.\n`;
  const asked = argv.length === 0 || name === '--help' || name === '-h';
  (asked ? process.stdout : process.stderr).write(help);
  return asked ? 0 : 1;
}
