import type { Matcher } from '../logql/ast.ts';
import { limitError } from '../logql/errors.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import type { Tables } from '../tables.ts';
import { streamCondition } from './log-conditions.ts';
import { openLogReader } from './log-reader.ts';
import { openTable } from './log-view.ts';

/** What streams there are, without their lines. Times are nanoseconds, from inclusive, to exclusive. */
export interface LogIndex {
  /** Label sets of the streams that match any of the sets of matchers (all when there is none), as JSON texts, sorted. */
  streams(request: IndexRequest, signal: AbortSignal): Promise<readonly string[]>;
  /** Lines and bytes of each stream, in pieces of time where `stepNs` says so. */
  volumes(request: VolumeRequest, signal: AbortSignal): Promise<readonly StreamVolume[]>;
}

interface IndexRequest {
  readonly matcherSets: readonly (readonly Matcher[])[];
  readonly fromNs: bigint;
  readonly toNs: bigint;
  readonly streamsMax: number;
}

interface VolumeRequest extends IndexRequest {
  /** Pieces begin at `fromNs`. */
  readonly stepNs?: number;
}

interface StreamVolume {
  readonly labels: string;
  /** Which piece of time, from 0. */
  readonly step: number;
  readonly lines: number;
  /** Of lines; estimated from a sample where there are many. */
  readonly bytes: number;
}

/** Above so many lines their bytes are estimated: from the first so many of them. */
const exactLinesMax = 1_000_000;
const sampledLines = 100_000;

export function logIndex(options: { readonly tables: Tables; readonly engine: Engine }): LogIndex {
  const conditionOf = ({ matcherSets, fromNs, toNs }: IndexRequest): string => {
    const sets = matcherSets.length === 0 ? [[]] : matcherSets;
    return sets.map((matchers) => `(${streamCondition(matchers, fromNs, toNs)})`).join(' OR ');
  };
  return {
    streams: async (request, signal) => {
      const { fromNs, toNs, streamsMax } = request;
      await using view = await openTable(options.tables, fromNs, toNs, signal);
      await using reader = await openLogReader(options.engine, signal);
      const rows = await reader.rows(
        `SELECT DISTINCT labels FROM ${view.from} WHERE ${conditionOf(request)} LIMIT ${streamsMax + 1}`,
      );
      if (rows.length > streamsMax) throw tooManyStreams(streamsMax);
      return rows.map(([json]) => String(json)).sort();
    },
    volumes: async (request, signal) => {
      const { fromNs, toNs, streamsMax, stepNs } = request;
      await using view = await openTable(options.tables, fromNs, toNs, signal);
      await using reader = await openLogReader(options.engine, signal);
      const step = stepNs === undefined ? '0' : `(timestamp_ns - ${fromNs}) // ${BigInt(stepNs)}`;
      const read = (bytes: string): Promise<readonly (readonly unknown[])[]> =>
        reader.rows(
          `SELECT labels, ${step}, count(*), ${bytes} FROM ${view.from}
           WHERE ${conditionOf(request)} GROUP BY ALL LIMIT ${streamsMax * 1000 + 1}`,
        );
      const counted = await read('0');
      const lines = counted.reduce((sum, [, , count]) => sum + Number(count), 0);
      if (lines > exactLinesMax) {
        const sample = `SELECT line FROM ${view.from} WHERE ${conditionOf(request)} LIMIT ${sampledLines}`;
        const [[mean] = [0]] = await reader.rows(`SELECT avg(strlen(line)) FROM (${sample})`);
        return counted.map((row) => volumeOf(row, Number(row[2]) * Number(mean)));
      }
      return (await read('sum(strlen(line))')).map((row) => volumeOf(row, Number(row[3])));
    },
  };
}

const volumeOf = ([labels, step, lines]: readonly unknown[], bytes: number): StreamVolume => ({
  ...{ labels: String(labels), step: Number(step), lines: Number(lines), bytes: Math.round(bytes) },
});

function tooManyStreams(max: number) {
  return limitError('seriesMax', `maximum of series (${max}) reached for a single query (seriesMax)`);
}
