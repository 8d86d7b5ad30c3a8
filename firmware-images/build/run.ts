import { spawn } from 'node:child_process';
import { FirnError } from '../../lake/base/errors.ts';

/** Debian package that a program comes from, for the hint where it is missing. */
const packageOf: Readonly<Record<string, string>> = {
  mmdebstrap: 'mmdebstrap',
  mke2fs: 'e2fsprogs',
  debugfs: 'e2fsprogs',
  'mkfs.vfat': 'dosfstools',
  mcopy: 'mtools',
  mmd: 'mtools',
  mtype: 'mtools',
  mdel: 'mtools',
  sfdisk: 'fdisk',
  rauc: 'rauc',
  zstd: 'zstd',
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
};

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** What the program reads on its standard input. */
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/** Runs a program to its end and gives what it printed. Throws FirnError with the last lines of what it complained. */
export async function run(
  program: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: { ...process.env, LC_ALL: 'C.UTF-8', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    signal: options.signal,
  });
  const printed: Buffer[] = [];
  const complained: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => printed.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => complained.push(chunk));
  child.stdin.on('error', () => {}); // a program that ends without reading says so by its exit code
  child.stdin.end(options.input ?? '');
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', (cause: NodeJS.ErrnoException) => reject(notStarted(program, cause)));
  child.once('close', resolve);
  const code = await promise;
  if (code === 0) return Buffer.concat(printed).toString();
  const lines = Buffer.concat([...printed, ...complained])
    .toString()
    .trim()
    .split('\n')
    .slice(-12);
  throw new FirnError({
    code: 'unavailable',
    operation: 'run',
    subject: program,
    message: `${program} ${args.slice(0, 3).join(' ')} … ended with ${code}:\n${lines.join('\n')}`,
  });
}

function notStarted(program: string, cause: NodeJS.ErrnoException): Error {
  if (cause.code !== 'ENOENT') return cause;
  const debian = packageOf[program];
  return new FirnError({
    code: 'not-found',
    operation: 'run',
    subject: program,
    message: `${program} is not installed`,
    hint: `run firmware-images/setup${debian === undefined ? '' : `, or install the Debian package ${debian}`}`,
    cause,
  });
}
