import { type BodyLimits, bodyLimits } from '../body-limits.ts';
import { lineBytesMax } from '../logs/line-limit.ts';

/** Limits of one Loki push request. Meeting one refuses the whole request. */
export interface LokiPushLimits extends BodyLimits {
  readonly streamsPerRequestMax: number;
  readonly lineBytesMax: number;
  /** Names and values of the structured metadata of one line. */
  readonly metadataBytesMax: number;
}

export const lokiPushLimits: LokiPushLimits = {
  ...bodyLimits,
  streamsPerRequestMax: 100_000,
  lineBytesMax,
  metadataBytesMax: 64 * 1024,
};
