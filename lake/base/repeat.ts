import type { Clock } from './clock.ts';
import { messageOf } from './errors.ts';
import type { Logger } from './log.ts';

export interface RepeatOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly everyMs: number;
  /** What is said when the work begins to fail. */
  readonly failing: string;
}

/**
 * Does `work` again and again, `everyMs` after it was done, until it is disposed of; that waits for work that is under way.
 * A failure is said once, and again after a success.
 */
export function repeat(options: RepeatOptions, work: () => Promise<void>): AsyncDisposable {
  const { clock, logger, everyMs, failing } = options;
  const ended = new AbortController();
  const run = async (): Promise<void> => {
    let isFailing = false;
    while (!ended.signal.aborted) {
      await clock.sleep(everyMs, ended.signal).catch(() => undefined);
      if (ended.signal.aborted) return;
      try {
        await work();
        isFailing = false;
      } catch (error) {
        if (!isFailing) logger.warn(failing, { error: messageOf(error) });
        isFailing = true;
      }
    }
  };
  const running = run();
  return {
    [Symbol.asyncDispose]: async () => {
      ended.abort();
      await running;
    },
  };
}
