import { type MessagePort, parentPort, workerData } from 'node:worker_threads';
import { runInBackground } from '../../base/background-thread.ts';
import { bytePieces } from '../../base/byte-pieces.ts';
import { systemClock } from '../../base/clock.ts';
import type { JobStart } from '../../base/worker-pool.ts';
import { type AnswerOptions, type AnswerTask, answerTexts } from '../../logql/answer/answer.ts';
import { runQuery } from '../../logql/query.ts';
import { createLogFiles } from '../log-files/log-file.ts';
import { viewLogs } from '../view-logs.ts';
import { type LogWorkerData, type StartQuery, sentError, type Told, type ToThread } from './messages.ts';
import { remoteLogs } from './remote-views.ts';

// Answers LogQL off the thread that receives: reads files, filters, evaluates and writes JSON. Queries of one thread take
// turns.

runInBackground();
const files = createLogFiles(workerData as LogWorkerData);

async function serve(port: MessagePort, { work, limits, first }: StartQuery): Promise<void> {
  const stopped = new AbortController();
  const { signal } = stopped;
  const remote = remoteLogs(port, first);
  let wanted = Promise.withResolvers<void>();
  const stop = (): void => {
    stopped.abort();
    wanted.resolve();
  };
  port.on('message', (message: ToThread) => {
    if (message.kind === 'cancel') stop();
    else if (message.kind === 'more') wanted.resolve();
    else remote.receive(message);
  });
  port.on('close', stop);
  const tell = (told: Told): void => port.postMessage(told);
  const isWanted = async (): Promise<boolean> => {
    await wanted.promise;
    wanted = Promise.withResolvers();
    return !signal.aborted;
  };
  try {
    const source = viewLogs(remote.views, files);
    const options = { source, index: source, limits, clock: systemClock, signal };
    if (work.kind === 'answer') await tellAnswer(work.task, options, tell, isWanted);
    else tell({ kind: 'evaluated', result: await runQuery(work.task, options) });
  } catch (error) {
    tell({ kind: 'failed', error: sentError(error) });
  }
  port.close();
}

/** Piece by piece, each when the one before it has been taken. */
async function tellAnswer(
  task: AnswerTask,
  options: AnswerOptions,
  tell: (told: Told) => void,
  isWanted: () => Promise<boolean>,
): Promise<void> {
  const pieces = bytePieces(await answerTexts(task, options));
  for (let piece = pieces.next(); !piece.done; ) {
    const bytes = piece.value;
    piece = pieces.next();
    const last = piece.done === true;
    tell({ kind: 'piece', bytes, last });
    if (!last && !(await isWanted())) return;
  }
}

parentPort?.on('message', ({ port, message }: JobStart<StartQuery>) => void serve(port, message));
