/** The port: Firn's other query languages, for `promql(…)` and `logql(…)` in a FROM clause. */
export interface Languages {
  /** Throws FirnError: `invalid` when the query is wrong, `limit` when it asks for too much. */
  run(query: LanguageQuery, signal: AbortSignal): Promise<LanguageRows>;
}

export type Language = 'promql' | 'logql';

export interface LanguageQuery {
  readonly language: Language;
  readonly text: string;
  readonly startMs: number;
  readonly endMs: number;
  /** 0: at `endMs` alone (PromQL, and metrics of LogQL). */
  readonly stepMs: number;
}

/** One row for each sample or line. */
export interface LanguageRows {
  /** Microseconds since 1970, whole numbers. */
  readonly timestampsUs: Float64Array;
  /** Absent for lines. */
  readonly values?: Float64Array;
  readonly lines?: readonly string[];
  /** Label sets as JSON, and which of them a row has. */
  readonly labels: readonly string[];
  readonly labelsAt: Uint32Array;
}
