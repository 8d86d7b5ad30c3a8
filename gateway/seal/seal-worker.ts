import { parentPort, workerData } from 'node:worker_threads';
import { FirnError, messageOf } from '../../lake/base/errors.ts';
import { crashAt } from '../../lake/base/fault-points.ts';
import { mergeInMemory } from '../../lake/parquet/merge-in-memory.ts';
import type { SegmentWriter } from '../../lake/parquet/segment-writer.ts';
import { isDatabaseDamage } from '../wal/error-detail.ts';
import type { SealFailure, SealWorkerOptions, SealWorkerReply, SealWorkerRequest } from './seal-messages.ts';
import { openRangeSealer } from './seal-range.ts';

// The thread that writes segments: decoding batches and encoding Parquet must not stall the broker.

const port = parentPort;
if (port === null) throw new Error('seal-worker.ts runs as a worker thread');
const reply = (message: SealWorkerReply): void => port.postMessage(message);
const { walPath, dataDir, identity, crashAt: crash, ...options } = workerData as SealWorkerOptions;

try {
  const writer = await openWriter();
  const sealer = openRangeSealer(walPath, dataDir, identity, writer, crashAt(crash));
  port.on('message', async (message: SealWorkerRequest) => {
    try {
      if (message.kind === 'close') {
        await sealer[Symbol.asyncDispose]();
        reply({ kind: 'closed' });
        port.close();
      } else if (message.kind === 'merge') {
        reply({ kind: 'merged', file: await mergeInMemory(message.request, identity.site, writer) });
      } else {
        reply({ kind: 'done', outcome: await sealer.seal(message.request) });
      }
    } catch (error) {
      reply({ kind: 'failed', error: failureOf(error) });
    }
  });
  reply({ kind: 'ready' });
} catch (error) {
  reply({ kind: 'failed', error: failureOf(error) });
}

/** Loads only the one that is asked for: memory is short on small gateways. */
async function openWriter(): Promise<SegmentWriter> {
  if (options.writer === 'duckdb')
    return (await import('../../lake/parquet/duckdb-writer.ts')).openDuckdbWriter(options);
  return (await import('../../lake/parquet/parquetjs-writer.ts')).openParquetjsWriter({
    ...options,
    bloomFilters: false,
  });
}

function failureOf(error: unknown): SealFailure {
  if (error instanceof FirnError) {
    const { code, operation, subject, message, hint } = error;
    return { code, operation, subject, message, hint };
  }
  const damage = isDatabaseDamage(error);
  return {
    code: damage ? 'corrupt' : 'unavailable',
    operation: 'seal',
    subject: damage ? walPath : dataDir,
    message: messageOf(error),
    hint: undefined,
  };
}
