import { printSettings, type Setting, wantsHelp } from './config.ts';
import { FirnError, messageOf } from './errors.ts';

/** A running part of Firn: what it listens on, and how to stop it. */
export interface Service extends AsyncDisposable {
  /** Told to the process that started this one, for example its ports. */
  readonly ready: Readonly<Record<string, unknown>>;
}

/** `firn NAME`: help, or the service until it is stopped. Returns the exit code. */
export async function serviceCommand(
  command: {
    readonly name: string;
    /** What it does, in a sentence. */
    readonly about: string;
    readonly settings: readonly Setting[];
    /** `stopping` is aborted when the process is asked to stop, also before it is ready. */
    readonly start: (argv: readonly string[], stopping: AbortSignal) => Promise<Service>;
  },
  argv: readonly string[],
): Promise<number> {
  const { name, about, settings, start } = command;
  if (!wantsHelp(argv)) return runService(name, (stopping) => start(argv, stopping));
  const flags = `  --config FILE  YAML or JSON\n${printSettings(settings)}`;
  process.stdout.write(`usage: ${name} [FLAGS]\n\n${about}\n\n${flags}\n`);
  return 0;
}

/** A second signal within this time is the first one arriving twice (a terminal and npm both pass Ctrl-C on). */
const signalEchoMs = 300;

/**
 * Runs a service until SIGINT, SIGTERM, or the end of the process that forked it; a second signal stops at once.
 * Returns the exit code. An error before it is ready is one line on standard error, its hint below it, and exit code 1.
 */
async function runService(name: string, start: (stopping: AbortSignal) => Promise<Service>): Promise<number> {
  const stop = stopRequested();
  const stopping = new AbortController();
  void stop.then(() => stopping.abort());
  let service: Service;
  try {
    service = await start(stopping.signal);
  } catch (error) {
    if (process.connected) process.disconnect(); // An open channel would keep the process alive.
    if (stopping.signal.aborted) return 0; // What it waited for will not come any more.
    process.stderr.write(`${describeFailure(name, error)}\n`);
    return 1;
  }
  process.send?.({ ready: service.ready });
  await stop;
  await service[Symbol.asyncDispose]();
  if (process.connected) process.disconnect();
  return 0;
}

/** Resolves at the first SIGINT or SIGTERM, or when the parent's channel closes; at the second the process exits. */
export function stopRequested(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let firstAt: number | undefined;
  const onSignal = (): void => {
    const now = performance.now();
    if (firstAt !== undefined && now - firstAt > signalEchoMs) process.exit(130);
    firstAt ??= now;
    resolve();
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  process.on('disconnect', resolve);
  return promise;
}

/** One line that says what failed, and one with what to do about it. */
export function describeFailure(name: string, error: unknown): string {
  const hint = error instanceof FirnError && error.hint ? `\n  ${error.hint}` : '';
  return `${name}: ${messageOf(error)}${hint}`;
}
