import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { runInBackground } from '../../base/background-thread.ts';
import { systemClock } from '../../base/clock.ts';
import type { JobStart } from '../../base/worker-pool.ts';
import { runQuery } from '../../logql/query.ts';
import { createLogFiles } from '../log-files/log-file.ts';
import { viewLogs } from '../view-logs.ts';
import {
  type FromThread,
  type LogWorkerData,
  type StartQuery,
  sentError,
  type ToThread,
} from './messages.ts';
import { remoteViews } from './remote-views.ts';

// Answers LogQL off the thread that receives: reads files, filters and evaluates. Queries of one thread take turns.

runInBackground();
const files = createLogFiles(workerData as LogWorkerData);

async function answer(port: MessagePort, { task, limits, first }: StartQuery): Promise<void> {
  const stopped = new AbortController();
  const views = remoteViews(port, first);
  port.on('message', (message: ToThread) => {
    if (message.kind === 'cancel') stopped.abort();
    else views.receive(message);
  });
  let last: FromThread;
  try {
    const options = { source: viewLogs(views, files), limits, clock: systemClock, signal: stopped.signal };
    last = { kind: 'answered', result: await runQuery(task, options) };
  } catch (error) {
    last = { kind: 'failed', error: sentError(error) };
  }
  port.postMessage(last);
  port.close();
}

parentPort?.on('message', ({ port, message }: JobStart<StartQuery>) => void answer(port, message));
