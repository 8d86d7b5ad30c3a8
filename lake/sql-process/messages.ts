import type { LogLevel } from '../base/log.ts';
import type { TableName } from '../model/table-name.ts';
import type { EngineOptions } from '../sql/duckdb/engine.ts';
import type { LanguageQuery } from '../sql/languages.ts';
import type { SqlLimits } from '../sql/session.ts';
import type { Prune } from '../tables.ts';

// What the two processes say to each other, by Node's channel between them. What clients send and get goes over sockets:
// one for each session of the PostgreSQL protocol, one for each statement over HTTP.

export interface StartOptions {
  readonly engine: EngineOptions;
  readonly limits: Partial<SqlLimits>;
  readonly logLevel: LogLevel;
}

export type ToEngine =
  | { readonly kind: 'start'; readonly options: StartOptions; readonly sockets: Sockets }
  | { readonly kind: 'answer'; readonly call: number; readonly value: unknown }
  | { readonly kind: 'refusal'; readonly call: number; readonly error: SentError }
  | { readonly kind: 'cancel' | 'terminate'; readonly session: number }
  | { readonly kind: 'ping' };

export type FromEngine =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'call'; readonly call: number; readonly source: number; readonly request: SourceRequest }
  | { readonly kind: 'abort'; readonly call: number }
  | { readonly kind: 'pong' };

/** Paths that the engine listens on. */
export interface Sockets {
  readonly pg: string;
  readonly http: string;
}

/** The first frame of a session's socket. */
export interface SessionHead {
  readonly session: number;
  /** What its statements are answered from, by the number that it was let in with. */
  readonly source: number;
  readonly user: string;
  readonly database: string;
  readonly parameters: readonly (readonly [string, string])[];
  readonly processId: number;
  /** Hex. */
  readonly secret: string;
}

/** The first frame of a statement's socket. */
export type StatementHead = Pick<SessionHead, 'source' | 'user' | 'database'>;
export interface StatementRequest extends StatementHead {
  readonly sql: string;
  /** The media type of the answer. */
  readonly type: string;
}

/** What the engine asks of the source that a session has. */
export type SourceRequest =
  | { readonly kind: 'open'; readonly table: TableName; readonly prune: Prune }
  | { readonly kind: 'open-user'; readonly name: string }
  | { readonly kind: 'list-user' }
  | { readonly kind: 'language'; readonly query: LanguageQuery }
  | { readonly kind: 'close'; readonly view: number };

/** What `open` and `open-user` are answered. */
export interface OpenedView {
  readonly view: number;
  readonly from: string;
  readonly filesConsidered: number;
  readonly filesPruned: number;
}

/** A FirnError, an SqlError with its SQLSTATE, or what else was thrown, where both are undefined. */
export interface SentError {
  readonly code: string | undefined;
  readonly sqlstate: string | undefined;
  readonly operation: string;
  readonly subject: string;
  readonly message: string;
  readonly hint: string | undefined;
}
