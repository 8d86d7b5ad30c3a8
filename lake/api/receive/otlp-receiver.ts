import type { Clock } from '../../base/clock.ts';
import { FirnError } from '../../base/errors.ts';
import type { Batch } from '../../model/batch.ts';
import { logStreams, serviceNameLabels } from '../../receive/logs/streams.ts';
import { createMetadataCache } from '../../receive/metadata-cache.ts';
import { setSeconds } from '../../receive/nanoseconds.ts';
import type { OtlpLimits } from '../../receive/otlp/limits.ts';
import {
  createMetricState,
  type OtlpFormat,
  type OtlpSignal,
  receiveOtlp,
} from '../../receive/otlp/receive.ts';
import type { Rejected } from '../../receive/rejected.ts';
import {
  type AppendOptions,
  appendBatches,
  isForLater,
  refusedAdmission,
  retryAfterSeconds,
} from './append.ts';

export interface OtlpOptions extends AppendOptions {
  readonly limits: OtlpLimits;
  /** For log records without a time. */
  readonly clock: Clock;
  /** Labels that service_name is taken from where a resource of logs has no service.name. */
  readonly serviceNameFrom?: readonly string[];
  /** Told about each request, for counting. */
  readonly onAnswer?: (answer: OtlpAnswer) => void;
}

interface OtlpAnswer {
  readonly signal: OtlpSignal;
  /** Rows stored, and what was rejected. */
  readonly rows: number;
  readonly rejected: number;
  /** Size of the body after decompression. */
  readonly bodyBytes: number;
  readonly refused: boolean;
}

/** What becomes of a request, whatever carries it. */
export type OtlpOutcome =
  | { readonly kind: 'stored'; readonly rejected: Rejected }
  /** The same request will always fail. */
  | { readonly kind: 'invalid'; readonly message: string }
  /** There is no room now: `limit` in the queue, `unavailable` on the disk. */
  | {
      readonly kind: 'later';
      readonly code: 'limit' | 'unavailable';
      readonly message: string;
      readonly retryAfterSeconds: number;
    };

export type OtlpReceiver = (signal: OtlpSignal, format: OtlpFormat, body: Uint8Array) => Promise<OtlpOutcome>;

export function otlpReceiver(options: OtlpOptions): OtlpReceiver {
  const { cache, limits, clock, serviceNameFrom = serviceNameLabels } = options;
  const streams = logStreams({ cache, serviceNameFrom });
  const context = { cache, streams, limits, metricState: createMetricState(limits) };
  const described = createMetadataCache();
  const nowNs = { low: 0, high: 0 };

  const store = async (
    signal: OtlpSignal,
    format: OtlpFormat,
    body: Uint8Array,
  ): Promise<OtlpOutcome & { readonly rows: number }> => {
    const later = refusedAdmission(options, body.byteLength);
    if (later) return { kind: 'later', code: 'limit', ...later, rows: 0 };
    const nowMs = clock.nowMs();
    const seconds = Math.floor(nowMs / 1000);
    setSeconds(nowNs, seconds, Math.floor((nowMs - seconds * 1000) * 1_000_000));
    const request = receiveOtlp(signal, format, body, nowNs, context);
    const batches = request.batches.map(
      (batch): Batch =>
        batch.signal === 'metrics' ? { ...batch, metadata: described.news(batch.metadata) } : batch,
    );
    const error = await appendBatches(options, batches).catch((cause: unknown) => {
      request.undo();
      throw cause;
    });
    if (error !== undefined) {
      request.undo();
      // Also of what will not get better: OTLP drops what is not for later, and the rows are good.
      const code = isForLater(error) && error.code === 'limit' ? 'limit' : 'unavailable';
      return { kind: 'later', code, message: error.message, retryAfterSeconds, rows: 0 };
    }
    for (const batch of batches) if (batch.signal === 'metrics') described.markDurable(batch.metadata);
    const rows = batches.reduce((sum, batch) => sum + batch.rows, 0);
    return { kind: 'stored', rejected: request.rejected, rows };
  };

  return async (signal, format, body) => {
    const outcome = await store(signal, format, body).catch((error: unknown) => {
      if (!(error instanceof FirnError)) throw error;
      return { kind: 'invalid', message: error.message, rows: 0 } as const;
    });
    options.onAnswer?.({
      ...{ signal, rows: outcome.rows, bodyBytes: body.byteLength },
      rejected: outcome.kind === 'stored' ? outcome.rejected.count : 0,
      refused: outcome.kind !== 'stored',
    });
    return outcome;
  };
}
