import type { DeadLetterReason } from '../payload.ts';

/** A payload that is not what its rule says; it goes to the dead letters for this reason. */
export class PayloadError extends Error {
  readonly reason: DeadLetterReason;
  constructor(reason: DeadLetterReason) {
    super(reason);
    this.reason = reason;
  }
}
