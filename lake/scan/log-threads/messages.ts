import type { ErrorCode } from '../../base/errors.ts';
import { FirnError, messageOf } from '../../base/errors.ts';
import type { AnswerTask } from '../../logql/answer/answer.ts';
import { LogqlError, type LogqlErrorType } from '../../logql/errors.ts';
import type { LogqlLimits } from '../../logql/limits.ts';
import type { LogqlTask, QueryResult } from '../../logql/query.ts';
import type {
  CountRow,
  CountsRequest,
  IndexRequest,
  LinesRequest,
  StreamVolume,
  VolumeRequest,
} from '../../logql/source.ts';
import type { ImmutableFile } from '../../tables.ts';

// What a thread that answers LogQL and the one that asks say to each other. The thread reads files itself; it asks back
// for views of the table, and for lines that are in no file of ours.

/** What a thread is started with. */
export interface LogWorkerData {
  readonly bytesMax: number;
}

/** The first message of a job. */
export interface StartQuery {
  readonly work: QueryWork;
  readonly limits: LogqlLimits;
  /** What surely is asked for first, so that it need not be. */
  readonly first: { readonly ask: OpenView; readonly answer: ViewAnswer } | undefined;
}

export type QueryWork =
  /** For a result, as values. */
  | { readonly kind: 'evaluate'; readonly task: LogqlTask }
  /** For the JSON of an answer, in pieces. */
  | { readonly kind: 'answer'; readonly task: AnswerTask };

/** Names a view, or an iteration, within a job. */
type Handle = number;

export interface OpenView {
  readonly kind: 'open';
  readonly fromNs: bigint;
  readonly toNs: bigint;
}

export type Ask =
  | OpenView
  | { readonly kind: 'close'; readonly view: Handle }
  /** The same with the lines of these files. */
  | { readonly kind: 'rest'; readonly view: Handle; readonly paths: readonly string[] }
  | { readonly kind: 'lines'; readonly rest: Handle; readonly request: LinesRequest }
  | { readonly kind: 'streams'; readonly rest: Handle; readonly request: IndexRequest }
  | { readonly kind: 'volumes'; readonly rest: Handle; readonly request: VolumeRequest }
  | { readonly kind: 'next'; readonly of: Handle }
  | { readonly kind: 'counts'; readonly rest: Handle; readonly request: CountsRequest };

export interface Reply {
  readonly kind: 'reply';
  readonly id: number;
  readonly answer: Answer | { readonly kind: 'failed'; readonly error: SentError };
}

export type Answer =
  | { readonly kind: 'done' }
  | ViewAnswer
  | { readonly kind: 'handle'; readonly handle: Handle }
  | { readonly kind: 'batch'; readonly batch: SentBatch | undefined; readonly read: Read }
  | { readonly kind: 'streams'; readonly labels: readonly string[] | undefined }
  | { readonly kind: 'volumes'; readonly volumes: readonly StreamVolume[] | undefined }
  | { readonly kind: 'rows'; readonly rows: readonly CountRow[]; readonly read: Read };

export interface ViewAnswer {
  readonly kind: 'view';
  readonly view: Handle;
  readonly files: readonly ImmutableFile[];
  /** Lines that are in no file, where there are any. */
  readonly rest: Handle | undefined;
  readonly filesConsidered: number;
  readonly filesPruned: number;
}

/** What has been read for an answer. */
export interface Read {
  readonly lines: number;
  readonly bytes: number;
}

export interface SentBatch {
  readonly rows: number;
  readonly timestampNs: BigInt64Array;
  readonly lines: readonly string[];
  readonly metadata: readonly (string | null)[];
  /** Labels of streams that were not sent before. */
  readonly streams: readonly ReadonlyMap<string, string>[];
  /** Which stream each row has, in the order in which they were sent. */
  readonly streamOf: Uint32Array;
}

export type ToThread =
  | Reply
  /** The next piece of the answer is wanted. */
  | { readonly kind: 'more' }
  | { readonly kind: 'cancel' };

export type FromThread = { readonly kind: 'ask'; readonly id: number; readonly ask: Ask } | Told;

/** What comes of it. */
export type Told =
  | { readonly kind: 'evaluated'; readonly result: QueryResult }
  | { readonly kind: 'piece'; readonly bytes: Uint8Array<ArrayBuffer>; readonly last: boolean }
  | { readonly kind: 'failed'; readonly error: SentError };

/** An error's fields: between threads it loses its class. */
export interface SentError {
  readonly logql: LogqlErrorType | undefined;
  readonly code: ErrorCode | undefined;
  readonly operation: string;
  readonly subject: string;
  readonly message: string;
  readonly hint: string | undefined;
}

export function sentError(error: unknown): SentError {
  const none = { logql: undefined, code: undefined, operation: '', subject: '', hint: undefined };
  if (error instanceof LogqlError)
    return { ...none, logql: error.type, subject: error.subject, message: error.message };
  if (error instanceof FirnError) {
    const { code, operation, subject, message, hint } = error;
    return { logql: undefined, code, operation, subject, message, hint };
  }
  // A fault of the program: its stack is the message.
  return { ...none, message: error instanceof Error ? (error.stack ?? error.message) : messageOf(error) };
}

export function receivedError({ logql, code, operation, subject, message, hint }: SentError): Error {
  if (logql !== undefined) return new LogqlError(logql, message, subject);
  if (code !== undefined)
    return new FirnError({ code, operation, subject, message, ...(hint === undefined ? {} : { hint }) });
  return new Error(message);
}
