import { parentPort, workerData } from 'node:worker_threads';
import { createRecordOwner } from './record-database.ts';
import type { RecordRequest, RecordWorkerOptions } from './record-messages.ts';

// The thread that owns broker.db, so that an fsync on a slow card never stalls the broker.

const port = parentPort;
if (port === null) throw new Error('record-worker.ts runs as a worker thread');
const answer = createRecordOwner(workerData as RecordWorkerOptions);
port.on('message', (request: RecordRequest) => port.postMessage(answer(request)));
