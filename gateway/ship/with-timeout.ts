import { FirnError } from '../../lake/base/errors.ts';
import type { Settings } from './shipper.ts';

/** Waits for something that is not the store's fault; the time does not count. */
type Untimed = <T>(waiting: Promise<T>) => Promise<T>;

/** Runs one upload; when it takes longer than a very slow link would, it is aborted with FirnError `unavailable`. */
export async function withTimeout<T>(
  { clock, uploadTimeoutMs, slowBytesPerSecond, store }: Settings,
  stop: AbortSignal,
  bytes: number,
  work: (signal: AbortSignal, untimed: Untimed) => Promise<T>,
): Promise<T> {
  const timeoutMs = uploadTimeoutMs + Math.ceil((bytes / slowBytesPerSecond) * 1000);
  const done = new AbortController();
  const late = new AbortController();
  const sinceMs = clock.monotonicMs();
  let waitedMs = 0;
  let waiting = 0;
  const untimed: Untimed = async (promise) => {
    const fromMs = clock.monotonicMs();
    waiting++;
    try {
      return await promise;
    } finally {
      waiting--;
      waitedMs += clock.monotonicMs() - fromMs;
    }
  };
  const watch = async (): Promise<void> => {
    for (let leftMs = timeoutMs; leftMs > 0 || waiting > 0; ) {
      await clock.sleep(Math.max(leftMs, waitingLookMs), done.signal);
      leftMs = timeoutMs + waitedMs - (clock.monotonicMs() - sinceMs);
    }
    late.abort(tooSlow(store.description, timeoutMs));
  };
  const watched = watch().catch(() => undefined); // done in time
  try {
    return await work(AbortSignal.any([stop, late.signal]), untimed);
  } catch (error) {
    throw late.signal.aborted ? late.signal.reason : error;
  } finally {
    done.abort();
    await watched;
  }
}

/** While it waits for the link's budget, how often to look whether it still does. */
const waitingLookMs = 100;

function tooSlow(store: string, timeoutMs: number): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'ship',
    subject: 'uploadTimeoutMs',
    message: `${store} took longer than ${timeoutMs} ms for one upload`,
  });
}
