import type { DuckDBValue } from '@duckdb/node-api';

// Values as text in JSON and CSV: times in the form that their users expect, everything else as SQL prints it.

export const httpTextStyle = {
  booleans: ['false', 'true'],
  timestamp: { between: ' ', zone: '' },
  timestamptz: { between: 'T', zone: 'Z' },
} as const;

export function textOf(value: Exclude<DuckDBValue, null>, type: string): string {
  const text = String(value);
  return type === 'TIMESTAMP WITH TIME ZONE' ? text.replace(' ', 'T').replace(/\+00$/, 'Z') : text;
}
