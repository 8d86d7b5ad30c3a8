import type { DuckDBConnection } from '@duckdb/node-api';
import { type Labels, parseLabelsJson } from '../model/labels.ts';
import { tooMuch } from './read-series.ts';

export interface ExemplarSeries {
  readonly labels: Labels;
  /** By time; one that was sent again is here once. */
  readonly exemplars: readonly Exemplar[];
}

interface Exemplar {
  readonly labels: Labels;
  readonly value: number;
  readonly timestampMs: number;
}

/** Exemplars in one answer. */
const exemplarsMax = 100_000;

/** Reads exemplars from `rows`, text for a FROM clause with its WHERE. */
export async function readExemplars(
  connection: DuckDBConnection,
  rows: string,
): Promise<readonly ExemplarSeries[]> {
  const reader = await connection.runAndReadAll(
    `SELECT DISTINCT labels, epoch_ms(timestamp)::DOUBLE AS ms, value::DOUBLE AS value, exemplar_labels
    FROM ${rows} ORDER BY labels, ms LIMIT ${exemplarsMax + 1}`,
  );
  const found = reader.getRows();
  if (found.length > exemplarsMax) throw tooMuch('exemplarsMax', exemplarsMax, 'exemplars');
  const bySeries = new Map<string, Exemplar[]>();
  for (const [labels, timestampMs, value, own] of found) {
    const group = bySeries.get(String(labels)) ?? [];
    bySeries.set(String(labels), group);
    group.push({
      labels: parseLabelsJson(String(own)),
      value: Number(value),
      timestampMs: Number(timestampMs),
    });
  }
  return Array.from(bySeries, ([labels, exemplars]) => ({ labels: parseLabelsJson(labels), exemplars }));
}
