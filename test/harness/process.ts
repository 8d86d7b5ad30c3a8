import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';

// What benchmarks and system tests need of processes: free ports, waiting until something answers, CPU and memory of a
// process from /proc (Linux).

/**
 * A port that nobody listens on. Not one of those that the system gives to connections (on Linux from 32768): another
 * process' connection could have it before our process listens, or between two of its lives.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000);
    const server = createServer();
    server.listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue; // it is taken
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Resolves when something listens on the port. */
export function waitForPort(port: number, timeoutMs = 20_000): Promise<boolean> {
  return waitFor(`port ${port}`, timeoutMs, async () => {
    const socket = connect(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return true;
    } finally {
      socket.destroy();
    }
  });
}

/** Between two probes; one that takes long is not asked all the time, or what is waited for would get slower by it. */
const pauseMsMin = 25;
const pauseMsMax = 500;

/** Calls `probe` until it returns a value that is not undefined; a throw counts as not yet. */
export async function waitFor<T>(
  what: string,
  timeoutMs: number,
  probe: () => Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (let began = performance.now(); began < deadline; began = performance.now()) {
    try {
      const value = await probe();
      if (value !== undefined) return value;
    } catch (error) {
      last = error;
    }
    const tookMs = performance.now() - began;
    await delay(Math.min(Math.max(pauseMsMin, 2 * tookMs), pauseMsMax));
  }
  throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: last });
}

const clockTicksPerSecond = 100;

/** CPU seconds (user and system, all threads) that a process has used. */
export const cpuSeconds = (pid: number): number => cpuSecondsOf(`/proc/${pid}/stat`);

function cpuSecondsOf(stat: string): number {
  const fields = readFileSync(stat, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / clockTicksPerSecond;
}

/** The same of each of its threads, by number and name. */
export function threadCpuSeconds(pid: number): ReadonlyMap<string, number> {
  const tasks = `/proc/${pid}/task`;
  return new Map(
    readdirSync(tasks).map((task) => {
      const name = readFileSync(`${tasks}/${task}/comm`, 'utf8').trim();
      return [`${name} ${task}`, cpuSecondsOf(`${tasks}/${task}/stat`)];
    }),
  );
}

/** Peak resident memory of a process, bytes. */
export function peakMemoryBytes(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}

/** Resident memory of a process, bytes. */
export function memoryBytes(pid: number): number {
  const line = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(line?.[1]) * 1024;
}

/** Processes that it has started and that live; none when it has ended. */
export function childrenOf(pid: number): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}

/** Starts a program with its output thrown away; dispose kills it. */
export function startProgram(
  command: string,
  args: readonly string[],
): AsyncDisposable & { readonly pid: number } {
  const child: ChildProcess = spawn(command, args, { stdio: 'ignore' });
  if (child.pid === undefined) throw new Error(`${command} did not start`);
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

/** An address of this machine that others use; undefined where it has none. */
export const outerAddress = (): string | undefined =>
  Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
