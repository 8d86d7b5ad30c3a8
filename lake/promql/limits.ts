/** What one query may use. Meeting a limit ends the query with Prometheus' own error. */
export interface QueryLimits {
  /** Samples held in memory at a time, read and computed. */
  readonly samplesMax: number;
  /** Series that one selector may read. */
  readonly seriesMax: number;
  /** Points of time of a range query or a subquery. */
  readonly stepsMax: number;
  /** Wall time of one query. */
  readonly timeoutMs: number;
}

/** Prometheus' defaults where it has them. */
export const defaultQueryLimits: QueryLimits = {
  samplesMax: 50_000_000,
  seriesMax: 500_000,
  stepsMax: 11_000,
  timeoutMs: 120_000,
};

/** How far back an instant vector looks for a sample. */
export const defaultLookbackMs = 300_000;
/** The step of a subquery that names none. */
export const defaultSubqueryStepMs = 60_000;
/** Characters of one query text. */
export const queryCharactersMax = 1_000_000;
/** Levels of parentheses, operators and calls. */
export const nestingMax = 400;
