import type { IndexRequest, LogIndex, StreamVolume } from '../logql/source.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import { streamCondition } from './log-conditions.ts';
import { openLogReader } from './log-reader.ts';
import { tooManyCounts } from './too-many-counts.ts';

/** Above so many lines their bytes are estimated: from the first so many of them. */
const exactLinesMax = 1_000_000;
const sampledLines = 100_000;

type Asked = Pick<IndexRequest, 'matcherSets' | 'fromNs' | 'toNs'>;

/** What streams there are in whatever DuckDB can read. `from`: text with the columns of the logs table. */
export function duckdbLogIndex({
  engine,
  from,
}: {
  readonly engine: Engine;
  readonly from: string;
}): LogIndex {
  return {
    streams: async function* (request, signal) {
      await using reader = await openLogReader(engine, signal);
      const sql = `SELECT DISTINCT labels FROM ${from} WHERE ${conditionOf(request)} LIMIT ${request.streamsMax + 1}`;
      for await (const chunk of reader.chunks(sql)) yield chunk.getRows().map(([json]) => String(json));
    },
    volumes: async function* (request, signal) {
      const { fromNs, stepNs, rowsMax } = request;
      await using reader = await openLogReader(engine, signal);
      const asked = `FROM ${from} WHERE ${conditionOf(request)}`;
      const [[lines] = [0]] = await reader.rows(`SELECT count(*) ${asked}`);
      const isExact = Number(lines) <= exactLinesMax;
      const sample = `(SELECT line ${asked} LIMIT ${sampledLines})`;
      const bytes = isExact ? 'sum(strlen(line))' : `count(*) * (SELECT avg(strlen(line)) FROM ${sample})`;
      const step = stepNs === undefined ? '0' : `(timestamp_ns - ${fromNs}) // ${BigInt(stepNs)}`;
      const sql = `SELECT labels, ${step}, count(*), ${bytes} ${asked} GROUP BY ALL LIMIT ${rowsMax + 1}`;
      let rows = 0;
      for await (const chunk of reader.chunks(sql)) {
        rows += chunk.rowCount;
        if (rows > rowsMax) throw tooManyCounts(request);
        yield chunk.getRows().map(volumeOf);
      }
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
