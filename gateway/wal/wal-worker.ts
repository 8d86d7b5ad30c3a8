import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import type { WalRequest, WorkerOptions } from './wal-messages.ts';
import { openWalServer } from './wal-server.ts';

// The thread that owns wal.db, so that an fsync on a slow card never stalls the broker.

const options = workerData as WorkerOptions;
const port = parentPort;
if (port === null) throw new Error('wal-worker.ts runs as a worker thread');

const server = openWalServer(options, (message, transfer = []) => port.postMessage(message, [...transfer]));
if (server !== undefined)
  port.on('message', (request: WalRequest) => {
    server.handle(request);
    if (options.commitIntervalMs > 0) return;
    // Takes what came in while the last commit was on its way, and commits it together.
    for (let next = receiveMessageOnPort(port); next !== undefined; next = receiveMessageOnPort(port))
      server.handle(next.message as WalRequest);
    server.commitGroup();
  });
