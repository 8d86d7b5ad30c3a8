import type { IndexRequest, LogIndex, StreamVolume } from '../logql/source.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import type { Tables } from '../tables.ts';
import { streamCondition } from './log-conditions.ts';
import { openLogReader } from './log-reader.ts';
import { openTable } from './log-view.ts';

/** Above so many lines their bytes are estimated: from the first so many of them. */
const exactLinesMax = 1_000_000;
const sampledLines = 100_000;

type Asked = Pick<IndexRequest, 'matcherSets' | 'fromNs' | 'toNs'>;

/** What streams there are, by DuckDB. */
export function logIndex({ tables, engine }: { readonly tables: Tables; readonly engine: Engine }): LogIndex {
  return {
    streams: async function* (request, signal) {
      await using view = await openTable(tables, request.fromNs, request.toNs, signal);
      await using reader = await openLogReader(engine, signal);
      const sql = `SELECT DISTINCT labels FROM ${view.from} WHERE ${conditionOf(request)} LIMIT ${request.streamsMax + 1}`;
      for await (const chunk of reader.chunks(sql)) yield chunk.getRows().map(([json]) => String(json));
    },
    volumes: async function* (request, signal) {
      const { fromNs, toNs, stepNs } = request;
      await using view = await openTable(tables, fromNs, toNs, signal);
      await using reader = await openLogReader(engine, signal);
      const from = `FROM ${view.from} WHERE ${conditionOf(request)}`;
      const [[lines] = [0]] = await reader.rows(`SELECT count(*) ${from}`);
      const isExact = Number(lines) <= exactLinesMax;
      const sample = `(SELECT line ${from} LIMIT ${sampledLines})`;
      const bytes = isExact ? 'sum(strlen(line))' : `count(*) * (SELECT avg(strlen(line)) FROM ${sample})`;
      const step = stepNs === undefined ? '0' : `(timestamp_ns - ${fromNs}) // ${BigInt(stepNs)}`;
      const sql = `SELECT labels, ${step}, count(*), ${bytes} ${from} GROUP BY ALL`;
      for await (const chunk of reader.chunks(sql)) yield chunk.getRows().map(volumeOf);
    },
  };
}

function conditionOf({ matcherSets, fromNs, toNs }: Asked): string {
  const sets = matcherSets.length === 0 ? [[]] : matcherSets;
  return sets.map((matchers) => `(${streamCondition(matchers, fromNs, toNs)})`).join(' OR ');
}

const volumeOf = ([labels, step, lines, bytes]: readonly unknown[]): StreamVolume => ({
  ...{ labels: String(labels), step: Number(step), lines: Number(lines), bytes: Math.round(Number(bytes)) },
});
