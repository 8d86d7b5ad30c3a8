import type { Batch } from '../../model/batch.ts';
import type { LogStreams } from '../logs/streams.ts';
import type { Int64Halves } from '../nanoseconds.ts';
import { noneRejected, type Rejected } from '../rejected.ts';
import type { SeriesCache } from '../series-cache.ts';
import { createDeltaSums, type DeltaSums, type Undo } from './delta-sums.ts';
import { protobufOfJson } from './json.ts';
import type { OtlpLimits } from './limits.ts';
import { decodeLogs } from './logs.ts';
import { createIdentities, type Identities } from './metric-series.ts';
import { decodeMetrics } from './metrics.ts';
import { decodeTraces } from './traces.ts';

export type OtlpSignal = 'logs' | 'traces' | 'metrics';
export type OtlpFormat = 'protobuf' | 'json';

export interface OtlpContext {
  /** Of metrics. */
  readonly cache: SeriesCache;
  /** Of logs. */
  readonly streams: LogStreams;
  readonly limits: OtlpLimits;
  readonly metricState: MetricState;
}

/** What is remembered from one request to the next; only a matter of speed, but for the sums of differences. */
export interface MetricState {
  readonly identities: Identities;
  readonly deltas: DeltaSums;
}

export const createMetricState = ({ deltaSeriesMax }: OtlpLimits): MetricState => ({
  identities: createIdentities(),
  deltas: createDeltaSums(deltaSeriesMax),
});

export interface OtlpRequest {
  /** Some may have no rows. */
  readonly batches: readonly Batch[];
  readonly rejected: Rejected;
  /** To be called when the batches could not be stored. */
  undo(): void;
}

/** One export request. Throws FirnError `invalid` when it is malformed, or `limit`. */
export function receiveOtlp(
  signal: OtlpSignal,
  format: OtlpFormat,
  body: Uint8Array,
  nowNs: Int64Halves,
  context: OtlpContext,
): OtlpRequest {
  const bytes = format === 'json' ? protobufOfJson(signal, body) : body;
  const rejected = noneRejected();
  const undo: Undo = [];
  const undoAll = (): void => {
    for (const each of undo.reverse()) each();
  };
  if (signal === 'traces') return { batches: [decodeTraces(bytes, rejected)], rejected, undo: undoAll };
  if (signal === 'metrics') {
    try {
      const { cache, metricState } = context;
      const { metrics, exemplars } = decodeMetrics(bytes, { cache, ...metricState, rejected, undo });
      return { batches: [metrics, exemplars], rejected, undo: undoAll };
    } catch (error) {
      undoAll();
      throw error;
    }
  }
  const { logs, events } = decodeLogs(bytes, { ...context, rejected, nowNs });
  return { batches: [logs, events], rejected, undo: undoAll };
}
