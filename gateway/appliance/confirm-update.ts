import type { Clock } from '../../lake/base/clock.ts';
import { messageOf } from '../../lake/base/errors.ts';
import type { Places } from './places.ts';
import { noteOutcome } from './requested-update.ts';
import type { Slots } from './slots.ts';
import {
  forgetUpdate,
  readRelease,
  readUpdateRecord,
  type UpdateRecord,
  writeUpdateRecord,
} from './update-record.ts';

/** One thing that a healthy gateway does. It throws while it does not. */
export interface Check {
  readonly name: string;
  /** Whether it counts for this trial. */
  readonly isNeeded: (record: UpdateRecord | undefined) => boolean;
  readonly run: (signal: AbortSignal) => Promise<void>;
}

export interface ConfirmOptions {
  readonly slots: Slots;
  readonly places: Places;
  readonly checks: readonly Check[];
  readonly clock: Clock;
  /** How long a new slot has, in milliseconds. */
  readonly limitMs: number;
  readonly intervalMs: number;
  /** Tells the people who watch, through the gateway itself; throws while it can't. */
  readonly tell: (level: 'info' | 'error', text: string) => Promise<void>;
  readonly restart: () => Promise<void>;
  readonly signal?: AbortSignal;
}

export type Verdict = 'kept' | 'went back' | 'confirmed';

/**
 * Judges the slot that was booted. One that holds a new update is kept when all checks pass in one round within the
 * limit, or left for the one before. Any other is confirmed as soon as it is healthy; if it never is, its tries at the
 * boot menu run out by themselves.
 */
export async function confirmUpdate(options: ConfirmOptions): Promise<Verdict> {
  const { slots, places, checks, clock, limitMs } = options;
  const record = readUpdateRecord(places);
  const { booted } = await slots.status();
  const isTrial = record?.stage === 'trying' && record.slot === booted;
  const needed = checks.filter((check) => check.isNeeded(isTrial ? record : undefined));
  const began = clock.monotonicMs();
  for (;;) {
    const failures = await failuresOf(needed, options);
    options.signal?.throwIfAborted();
    if (failures.length === 0) break;
    if (isTrial && clock.monotonicMs() - began >= limitMs) {
      await slots.reject();
      writeUpdateRecord(places, { ...record, failure: failures.join('; ') });
      await options.restart();
      return 'went back';
    }
    await clock.sleep(options.intervalMs, options.signal);
  }
  await slots.confirm();
  if (record === undefined) return 'confirmed';
  const text = outcomeOf(record, isTrial, readRelease(places).version);
  await options.tell(isTrial ? 'info' : 'error', text);
  const { rollout, stage } = record;
  // One that was cut off while it was written is tried again.
  if (rollout !== undefined && stage === 'trying')
    noteOutcome(places, { rollout, state: isTrial ? 'applied' : 'rolled-back', detail: text });
  forgetUpdate(places);
  return isTrial ? 'kept' : 'confirmed';
}

async function failuresOf(
  checks: readonly Check[],
  { signal, intervalMs }: ConfirmOptions,
): Promise<string[]> {
  const limit = AbortSignal.timeout(Math.max(10_000, intervalMs));
  const either = signal ? AbortSignal.any([signal, limit]) : limit;
  const results = await Promise.all(
    checks.map(({ name, run }) =>
      run(either).then(
        () => [],
        (error: unknown) => [`${name}: ${messageOf(error)}`],
      ),
    ),
  );
  return results.flat();
}

function outcomeOf(record: UpdateRecord, isTrial: boolean, version: string): string {
  if (isTrial) return `update from ${record.fromVersion} to ${record.toVersion}: healthy, and kept`;
  if (record.stage === 'installing')
    return `update from ${record.fromVersion} to ${record.toVersion}: cut off while it was written; ${version} goes on`;
  const why = record.failure ?? `slot ${record.slot} did not come up in three starts`;
  return `update from ${record.fromVersion} to ${record.toVersion}: failed, back on ${version}: ${why}`;
}
