/** Prometheus' text format 0.0.4, and OpenMetrics 1.0. */
export type ExpositionFormat = 'text' | 'openmetrics';

/** A place in an exposition. */
export interface Cursor {
  readonly text: string;
  at: number;
  lineStart: number;
  /** From 1. */
  line: number;
}

/** An exposition that breaks its format's rules: nothing of it is taken. */
export class ExpositionError extends Error {}

export function fail({ text, at, line, lineStart }: Cursor, message: string): ExpositionError {
  const end = text.indexOf('\n', at);
  const rest = text.slice(at, Math.min(at + 30, end < 0 ? text.length : end));
  const got = rest === '' ? 'the end of the line' : JSON.stringify(rest);
  return new ExpositionError(`line ${line}, column ${at - lineStart + 1}: ${message}, not ${got}`);
}
