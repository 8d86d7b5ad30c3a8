import { type ParseArgsConfig, parseArgs } from 'node:util';
import { messageOf } from '../../lake/base/errors.ts';

// The command lines of benchmarks. Whoever asks for help, or writes what there is not, is told what there is.

interface Flag {
  readonly type: 'string' | 'boolean';
  readonly default?: string | boolean;
  readonly about: string;
}
type Flags = Readonly<Record<string, Flag>>;
type Options<F extends Flags> = F & NonNullable<ParseArgsConfig['options']>;
type Values<F extends Flags> = ReturnType<typeof parseArgs<{ options: Options<F> }>>['values'];

/** What can be written behind a benchmark's name; `mistake` is absent where somebody asked for it. */
export class Usage extends Error {
  readonly mistake: string | undefined;

  constructor(text: string, mistake?: string) {
    super(text);
    this.mistake = mistake;
  }
}

/** The values of a benchmark's flags. Throws Usage. */
export const readFlags = <const F extends Flags>(argv: readonly string[], flags: F): Values<F> =>
  readCommand(argv, flags, []).values;

/** The same with the parts of a benchmark that were named; all of them where none is. Throws Usage. */
export function readCommand<const F extends Flags>(
  argv: readonly string[],
  flags: F,
  parts: readonly string[],
): { readonly values: Values<F>; readonly parts: readonly string[] } {
  if (argv.includes('--help')) throw new Usage(usageOf(flags, parts));
  try {
    const options = flags as Options<F>;
    const parsed = parseArgs({ args: [...argv], options, allowPositionals: parts.length > 0 });
    const unknown = parsed.positionals.find((name) => !parts.includes(name));
    if (unknown !== undefined) throw new Error(`there is no part ${unknown}`);
    return { values: parsed.values, parts: parsed.positionals.length > 0 ? parsed.positionals : parts };
  } catch (error) {
    throw new Usage(usageOf(flags, parts), messageOf(error));
  }
}

function usageOf(flags: Flags, parts: readonly string[]): string {
  const lines = Object.entries(flags).map(([name, { type, default: value = '', about }]) => {
    const flag = `--${name}${type === 'string' ? ' VALUE' : ''}`;
    const otherwise = value === '' || value === false ? '' : ` (${value})`;
    return `  ${flag.padEnd(26)}${about}${otherwise}`;
  });
  if (parts.length > 0) lines.unshift(`  ${'PART ...'.padEnd(26)}${parts.join(', ')} (all of them)`);
  return lines.length > 0 ? lines.join('\n') : '  it takes no flags';
}
