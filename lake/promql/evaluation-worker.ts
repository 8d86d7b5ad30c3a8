import { parentPort } from 'node:worker_threads';
import { systemClock } from '../base/clock.ts';
import { messageOf } from '../base/errors.ts';
import { PromqlError } from './errors.ts';
import { buffersOf, type FromWorker, type ToWorker } from './evaluation-messages.ts';
import { inlineEvaluator } from './evaluator.ts';

// Evaluates queries one after the other, off the thread that receives samples.

const evaluator = inlineEvaluator(systemClock);
let running: AbortController | undefined;

parentPort?.on('message', async (message: ToWorker) => {
  if (message.kind === 'cancel') {
    running?.abort();
    return;
  }
  running = new AbortController();
  let answer: FromWorker;
  try {
    answer = { kind: 'done', evaluated: await evaluator.evaluate(message.task, running.signal) };
  } catch (error) {
    const promql = error instanceof PromqlError;
    const text = promql
      ? error.message
      : error instanceof Error
        ? (error.stack ?? error.message)
        : messageOf(error);
    answer = { kind: 'failed', errorType: promql ? error.errorType : undefined, message: text };
  }
  running = undefined;
  parentPort?.postMessage(answer, answer.kind === 'done' ? buffersOf(seriesOf(answer)) : []);
});

const seriesOf = ({ evaluated: { data } }: FromWorker & { kind: 'done' }) =>
  data.type === 'matrix' ? data.series : [];
