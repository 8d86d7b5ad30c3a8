import type { ErrorCode } from '../../base/errors.ts';
import { FirnError, messageOf } from '../../base/errors.ts';
import type { AnswerTask } from '../../logql/answer/answer.ts';
import { LogqlError, type LogqlErrorType } from '../../logql/errors.ts';
import type { LogqlLimits } from '../../logql/limits.ts';
import type { LogqlTask, QueryResult, ResultData } from '../../logql/query.ts';
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
export type StartQuery =
  /** For a result, as values. */
  | { readonly kind: 'evaluate'; readonly task: LogqlTask; readonly limits: LogqlLimits }
  /** For the JSON of an answer, in pieces. */
  | { readonly kind: 'answer'; readonly task: AnswerTask; readonly limits: LogqlLimits };

/** Names a view, or an iteration, within a job. */
type Handle = number;

export type Ask =
  | { readonly kind: 'open'; readonly fromNs: bigint; readonly toNs: bigint }
  | { readonly kind: 'close'; readonly view: Handle }
  /** The same with the lines of these files. */
  | { readonly kind: 'rest'; readonly view: Handle; readonly paths: readonly string[] }
  | { readonly kind: 'lines'; readonly rest: Handle; readonly request: LinesRequest }
  | { readonly kind: 'streams'; readonly request: IndexRequest }
  | { readonly kind: 'volumes'; readonly request: VolumeRequest }
  | { readonly kind: 'next'; readonly of: Handle }
  | { readonly kind: 'counts'; readonly rest: Handle; readonly request: CountsRequest };

export interface Reply {
  readonly kind: 'reply';
  readonly id: number;
  readonly answer: Answer | { readonly kind: 'failed'; readonly error: SentError };
}

export type Answer =
  | { readonly kind: 'done' }
  | {
      readonly kind: 'view';
      readonly view: Handle;
      readonly files: readonly ImmutableFile[];
      /** Lines that are in no file, where there are any. */
      readonly rest: Handle | undefined;
      readonly filesConsidered: number;
      readonly filesPruned: number;
    }
  | { readonly kind: 'handle'; readonly handle: Handle }
  | { readonly kind: 'batch'; readonly batch: SentBatch | undefined; readonly read: Read }
  | { readonly kind: 'streams'; readonly labels: readonly string[] | undefined }
  | { readonly kind: 'volumes'; readonly volumes: readonly StreamVolume[] | undefined }
  | { readonly kind: 'rows'; readonly rows: readonly CountRow[]; readonly read: Read };

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
  | { readonly kind: 'evaluated'; readonly result: SentResult }
  | { readonly kind: 'piece'; readonly bytes: Uint8Array<ArrayBuffer>; readonly last: boolean }
  | { readonly kind: 'failed'; readonly error: SentError };

/** Lines go over as columns: an object for each would cost more than to find it. */
export interface SentResult {
  readonly stats: QueryResult['stats'];
  readonly data:
    | Exclude<ResultData, { type: 'streams' }>
    | { readonly type: 'sent'; readonly streams: SentStream[] };
}

type LogStream = (ResultData & { readonly type: 'streams' })['streams'][number];

interface SentStream extends Omit<LogStream, 'entries'> {
  readonly timestampNs: BigInt64Array;
  readonly lines: readonly string[];
}

export function sentResult({ data, stats }: QueryResult): SentResult {
  if (data.type !== 'streams') return { data, stats };
  const streams = data.streams.map(({ entries, ...labels }) => ({
    ...labels,
    timestampNs: BigInt64Array.from(entries, ({ timestampNs }) => timestampNs),
    lines: entries.map(({ line }) => line),
  }));
  return { data: { type: 'sent', streams }, stats };
}

export function receivedResult({ data, stats }: SentResult): QueryResult {
  if (data.type !== 'sent') return { data, stats };
  const streams = data.streams.map(({ timestampNs, lines, ...labels }) => ({
    ...labels,
    entries: lines.map((line, index) => ({
      ...{ timestampNs: timestampNs[index] ?? 0n, line, metadata: labels.metadata, parsed: labels.parsed },
    })),
  }));
  return { data: { type: 'streams', streams }, stats };
}

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
