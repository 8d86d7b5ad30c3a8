import { FirnError } from '../../lake/base/errors.ts';
import type { Settings } from './shipper.ts';

/** Runs one upload; when it takes longer than a very slow link would, it is aborted with FirnError `unavailable`. */
export async function withTimeout(
  { clock, uploadTimeoutMs, slowBytesPerSecond, store }: Settings,
  stop: AbortSignal,
  bytes: number,
  work: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const timeoutMs = uploadTimeoutMs + Math.ceil((bytes / slowBytesPerSecond) * 1000);
  const done = new AbortController();
  const late = new AbortController();
  const timer = clock.sleep(timeoutMs, done.signal).then(
    () => late.abort(tooSlow(store.description, timeoutMs)),
    () => undefined, // done in time
  );
  try {
    await work(AbortSignal.any([stop, late.signal]));
  } catch (error) {
    throw late.signal.aborted ? late.signal.reason : error;
  } finally {
    done.abort();
    await timer;
  }
}

function tooSlow(store: string, timeoutMs: number): FirnError {
  return new FirnError({
    code: 'unavailable',
    operation: 'ship',
    subject: 'uploadTimeoutMs',
    message: `${store} took longer than ${timeoutMs} ms for one upload`,
  });
}
