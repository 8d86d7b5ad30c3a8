import { bytePieces } from '../../base/byte-pieces.ts';
import type { Reading } from '../collect.ts';
import { type LogqlTask, limited, type QueryOptions, runQuery } from '../query.ts';
import type { LogIndex } from '../source.ts';
import { resultPieces } from './encode.ts';
import { type FieldsTask, fieldsText } from './fields.ts';
import { type PatternsTask, patternsText } from './patterns.ts';
import { type StreamsTask, streamsText } from './streams.ts';

/** What Loki's API is asked, of lines or of streams: plain data, which another thread can be given. */
export type AnswerTask =
  | { readonly kind: 'query'; readonly task: LogqlTask; readonly categorize: boolean }
  | FieldsTask
  | PatternsTask
  | StreamsTask;

export interface AnswerOptions extends QueryOptions {
  readonly index: LogIndex;
}

/**
 * The JSON of an answer in pieces, which are made as they are taken: elsewhere, where there is an evaluator. Throws
 * LogqlError.
 */
export async function answer(
  task: AnswerTask,
  options: AnswerOptions,
): Promise<AsyncIterable<Uint8Array<ArrayBuffer>>> {
  const { evaluator, limits, signal } = options;
  if (evaluator) return evaluator.answer(task, limits, signal);
  return asynchronous(bytePieces(await answerTexts(task, options)));
}

async function* asynchronous<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items;
}

/** The same as texts, here. */
export async function answerTexts(task: AnswerTask, options: AnswerOptions): Promise<Iterable<string>> {
  if (task.kind === 'query') {
    const startMs = options.clock.monotonicMs();
    const result = await runQuery(task.task, options);
    const execMs = options.clock.monotonicMs() - startMs;
    const forward = task.task.kind === 'log' && task.task.log.direction === 'forward';
    return resultPieces(result, { categorize: task.categorize, forward, execMs });
  }
  return limited(options, async (reading) => [await answerText(task, reading, options.index)]);
}

function answerText(
  task: FieldsTask | PatternsTask | StreamsTask,
  reading: Reading,
  index: LogIndex,
): Promise<string> {
  switch (task.kind) {
    case 'fields':
      return fieldsText(task, reading);
    case 'patterns':
      return patternsText(task, reading);
    default:
      return streamsText(task, { index, budget: reading.budget, limits: reading.limits });
  }
}
