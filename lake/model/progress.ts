import { z } from 'zod';
import { signals } from './batch.ts';

/** A range of data timestamps of rows that are sealed and not shipped yet; both ends belong to it. */
const pendingRange = z.strictObject({
  fromUs: z.number().int(),
  toUs: z.number().int(),
  rows: z.number().int().nonnegative(),
  bytes: z.number().int().nonnegative(),
});

/** Ranges listed for one signal; a gateway merges neighbours until they are no more. */
export const pendingRangesMax = 16;

const signalProgress = z.strictObject({
  /** All rows received up to then are shipped, or listed in `pending`. */
  headUs: z.number().int(),
  /** All rows received up to then are shipped. */
  watermarkUs: z.number().int(),
  pending: z.array(pendingRange).max(pendingRangesMax),
});

/** How far a gateway has shipped, by signal; a signal that it has never received is absent. */
export const progressSchema = z.partialRecord(z.enum(signals), signalProgress);
export type ShippingProgress = z.infer<typeof progressSchema>;
export type PendingRange = z.infer<typeof pendingRange>;
