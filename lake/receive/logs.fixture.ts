import type { Batch, LogsBatch } from '../model/batch.ts';
import { textsOf } from '../model/text-column.ts';

/** The batch with its texts as strings; columns that are absent stay so. */
export function plainLogs({ line, attributes, severity, traceId, spanId, ...batch }: LogsBatch) {
  return {
    ...{ ...batch, line: textsOf(line) },
    ...(attributes && { attributes: textsOf(attributes) }),
    ...(severity && { severity: textsOf(severity) }),
    ...(traceId && { traceId: textsOf(traceId) }),
    ...(spanId && { spanId: textsOf(spanId) }),
  };
}

/** The batch as it is now: what receivers append must not be read later. */
export const kept = (batch: Batch): Batch => (batch.signal === 'logs' ? plainLogs(batch) : batch);
