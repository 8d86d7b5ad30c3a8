/** What one query may use. Meeting a limit ends it with an error that names the limit. */
export interface LogqlLimits {
  /** Lines of one answer; Loki's max_entries_limit_per_query. */
  readonly entriesMax: number;
  /** Series of one answer, and of any step on the way; Loki's max_query_series. */
  readonly seriesMax: number;
  /** Samples held in memory at a time by a metric query. */
  readonly samplesMax: number;
  /** Bytes of lines that one query may read. */
  readonly bytesMax: number;
  /** Points of time of a range query. */
  readonly stepsMax: number;
  /** Wall time. */
  readonly timeoutMs: number;
}

export const defaultLogqlLimits: LogqlLimits = {
  entriesMax: 5000,
  seriesMax: 500_000,
  samplesMax: 50_000_000,
  bytesMax: 64 * 1024 ** 3,
  stepsMax: 11_000,
  timeoutMs: 120_000,
};

/** With what a deployment's settings say. */
export const logqlLimits = ({
  query: { timeoutMs, samplesMax },
  logql,
}: {
  readonly query: Pick<LogqlLimits, 'timeoutMs' | 'samplesMax'>;
  readonly logql: Partial<LogqlLimits>;
}): LogqlLimits => ({ ...defaultLogqlLimits, ...logql, timeoutMs, samplesMax });

/** Lines of an answer where the query does not say; as Loki's. */
export const defaultEntries = 100;
/** Characters of one query text; Loki's max_query_length for texts. */
export const queryCharactersMax = 131_072;
/** Levels of parentheses, operators and calls. */
export const nestingMax = 400;
/** Characters that one template may make. */
export const templateCharactersMax = 10_000_000;
/** Templates that one calls within another. */
export const templateDepthMax = 200;
/** Texts, actions and turns of loops of one template on one line. */
export const templateStepsMax = 1_000_000;
