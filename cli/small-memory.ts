// A gateway has little memory. Settings that save tens of megabytes are read only when a process begins: how many arenas
// malloc keeps for the threads, and how far V8's heap grows before it is cleaned (without a bound on it, so that many series
// still fit). On small heaps, threads that help to clean them cost more than they clean. The heap begins as large as it is
// after a start: on the way there by fifths, it would be cleaned five times.

export const smallMemoryFlags = [
  '--max-semi-space-size=4',
  '--heap-growing-percent=20',
  '--initial-old-space-size=40',
  '--optimize-for-size',
  '--single-threaded-gc',
] as const;

export const smallMemoryEnv = (env: NodeJS.ProcessEnv): NodeJS.ProcessEnv => ({
  MALLOC_ARENA_MAX: '2',
  ...env,
});

/** Begins this process again with them, unless its environment says that they were considered. Not on Windows. */
export function saveMemory(): void {
  if (process.env.MALLOC_ARENA_MAX !== undefined || process.send !== undefined) return;
  if (process.platform === 'win32' || typeof process.execve !== 'function') return;
  const args = [process.execPath, ...smallMemoryFlags, ...process.execArgv, ...process.argv.slice(1)];
  process.execve(process.execPath, args, smallMemoryEnv(process.env));
}
