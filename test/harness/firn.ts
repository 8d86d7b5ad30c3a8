import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { smallMemoryEnv, smallMemoryFlags } from '../../cli/small-memory.ts';

// Starts Firn's processes as a user does and talks to them over their real interfaces.

const root = join(import.meta.dirname, '..', '..');

/** A folder that is gone after the test. */
export function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'firn-system-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

export interface Part extends AsyncDisposable {
  readonly pid: number;
  /** What the part said when it was ready, for example its ports. */
  readonly ready: Readonly<Record<string, unknown>>;
  /** The port of this name in `ready`. */
  port(name: string): number;
  /** Everything on standard output and error so far. */
  output(): string;
  /** Resolves at its end, whoever caused that. */
  readonly ended: Promise<void>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** SIGTERM, and waits; returns the exit code. */
  stop(): Promise<number | null>;
}

/** How a part is run, if not plainly. */
export interface Launch {
  readonly env?: Readonly<Record<string, string>>;
  /** A command that runs what follows it, such as `ip netns exec NAME`. */
  readonly through?: readonly string[];
  /** Told of the process before it is ready. */
  readonly onStart?: (child: ChildProcess) => void;
}

/** Runs `firn gateway` or `firn cloud` and waits until it is ready. Ports that are not given are free ones. */
export async function startPart(
  name: 'gateway' | 'cloud',
  argv: readonly string[],
  { env = {}, through = [], onStart }: Launch = {},
): Promise<Part> {
  const ports =
    name === 'gateway'
      ? [
          ...['mqtt-port', 'mqtt-web-socket-port', 'http-port', 'pgwire-port'],
          ...['otlp-http-port', 'otlp-grpc-port', 'mqtt-tls-port', 'mqtt-tls-web-socket-port'],
        ]
      : ['http-port', 'pgwire-port', 'direct-grpc-port'];
  const free = ports.filter((flag) => !argv.includes(`--${flag}`)).flatMap((flag) => [`--${flag}`, '0']);
  // A gateway as `firn start` forks it.
  const flags = name === 'gateway' ? smallMemoryFlags : [];
  const program = [process.execPath, ...flags, join(root, 'cli', 'main.ts')];
  const command = [...through, ...program, name, ...free, ...argv];
  const child = spawn(command[0] ?? '', command.slice(1), {
    env: { ...(name === 'gateway' ? smallMemoryEnv(process.env) : process.env), ...env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  onStart?.(child);
  const output = collect(child);
  const message = await Promise.race([once(child, 'message'), once(child, 'exit').then(() => undefined)]);
  if (message === undefined) throw new Error(`firn ${name} ended with ${child.exitCode}:\n${output()}`);
  const { ready } = message[0] as { ready: Record<string, unknown> };
  return partOf(child, ready, output);
}

function partOf(child: ChildProcess, ready: Record<string, unknown>, output: () => string): Part {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const end = async (signal: 'SIGKILL' | 'SIGTERM'): Promise<number | null> => {
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    child.kill(signal);
    await ended;
    return child.exitCode;
  };
  return {
    pid: child.pid ?? 0,
    ready,
    port: (name) => Number(ready[name]),
    output,
    ended,
    kill: async () => {
      await end('SIGKILL');
    },
    stop: () => end('SIGTERM'),
    [Symbol.asyncDispose]: async () => {
      await end('SIGKILL');
    },
  };
}

function collect(child: ChildProcess): () => string {
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.on('data', (bytes: Buffer) => {
      text = (text + bytes.toString()).slice(-100_000);
    });
  }
  return () => text;
}

/** Runs a command to its end. */
export async function run(
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  const parts = { stdout: '', stderr: '' };
  child.stdout.on('data', (bytes: Buffer) => {
    parts.stdout += bytes.toString();
  });
  child.stderr.on('data', (bytes: Buffer) => {
    parts.stderr += bytes.toString();
  });
  await once(child, 'close');
  return { code: child.exitCode, ...parts };
}

export const runFirn = (...argv: string[]) => run(process.execPath, [join(root, 'cli', 'main.ts'), ...argv]);

/** The key that the cloud wrote at its first start. */
export function readKey(path: string): { readonly id: string; readonly secret: string } {
  const [, id = '', secret = ''] = /FIRN_KEY='([^:]+):([^']+)'/.exec(readFileSync(path, 'utf8')) ?? [];
  return { id, secret };
}

export interface PromAnswer {
  readonly status: string;
  readonly error?: string;
  readonly data: {
    readonly result: {
      metric: Record<string, string>;
      value: [number, string];
      values: [number, string][];
    }[];
  };
}

/** Calls an HTTP endpoint; with a key by basic authentication. */
export async function call(
  url: string,
  key?: { readonly id: string; readonly secret: string },
  init: RequestInit = {},
): Promise<Response> {
  const authorization = key
    ? { Authorization: `Basic ${Buffer.from(`${key.id}:${key.secret}`).toString('base64')}` }
    : {};
  return fetch(url, {
    ...init,
    headers: { ...authorization, ...(init.headers as Record<string, string> | undefined) },
  });
}

/** An instant PromQL query. */
export async function promql(
  base: string,
  query: string,
  key?: { readonly id: string; readonly secret: string },
): Promise<PromAnswer> {
  const answer = await call(`${base}/api/v1/query?query=${encodeURIComponent(query)}`, key);
  return (await answer.json()) as PromAnswer;
}

/** A SQL statement; its rows. */
export async function sql(
  base: string,
  text: string,
  key?: { readonly id: string; readonly secret: string },
): Promise<unknown[][]> {
  const answer = await call(`${base}/api/v1/firn/sql`, key, {
    method: 'POST',
    body: JSON.stringify({ sql: text }),
    headers: { 'Content-Type': 'application/json' },
  });
  const body = (await answer.json()) as { rows: unknown[][] };
  if (!answer.ok) throw new Error(JSON.stringify(body));
  return body.rows;
}
