import { type BodyLimits, bodyLimits } from '../body-limits.ts';
import { lineBytesMax } from '../logs/line-limit.ts';

/** Limits of one OTLP request. */
export interface OtlpLimits extends BodyLimits {
  /** A log record whose body is larger is rejected alone. */
  readonly lineBytesMax: number;
  /** A log record with more than that in its attributes is rejected alone. */
  readonly attributesBytesMax: number;
  /** Series of delta temporality whose sums are kept; the one that is idle for longest begins again from zero. */
  readonly deltaSeriesMax: number;
}

export const otlpLimits: OtlpLimits = {
  ...bodyLimits,
  lineBytesMax,
  attributesBytesMax: 256 * 1024,
  deltaSeriesMax: 50_000,
};
