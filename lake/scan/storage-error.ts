import { FirnError, messageOf } from '../base/errors.ts';

/** What reading for `operation` threw; FirnError `limit` where the engine's memory was too small for what was selected. */
export function storageError(error: unknown, operation: 'read logs' | 'read series'): unknown {
  if (error instanceof FirnError) return error;
  const message = messageOf(error);
  if (!/Out of Memory/i.test(message)) return error;
  const what = operation === 'read logs' ? 'streams' : 'series';
  return new FirnError({
    ...{ code: 'limit', operation, subject: 'query.memoryBytesMax' },
    message: `the selected ${what} do not fit into the query engine's memory (query.memoryBytesMax): ${message}`,
    hint: `select fewer ${what} or a shorter time`,
    cause: error,
  });
}
