import { createDrain, type Drain } from '../../logql/drain.ts';
import { LogqlError } from '../../logql/errors.ts';
import { parseExpr } from '../../logql/parse.ts';
import { type QueryOptions, runQuery } from '../../logql/query.ts';
import type { Parameters } from '../prometheus/parameters.ts';
import { rangeParameters } from './parameters.ts';
import { nowNs, stepParameter } from './queries.ts';
import { succeed } from './respond.ts';

/** Lines that are looked at, the newest first. */
const patternLinesMax = 50_000;
const patternsMax = 300;

/** GET and POST /loki/api/v1/patterns: what shapes the lines of a selector have, and how many of each when. */
export async function answerPatterns(parameters: Parameters, options: QueryOptions): Promise<Response> {
  const range = rangeParameters(parameters, nowNs(options.clock));
  const stepNs = BigInt(Math.max(10e9, stepParameter(parameters, range)));
  const expr = parseExpr(parameters.text('query'));
  if (expr.kind !== 'log') throw new LogqlError('parse', 'only log selectors are supported');
  const limits = { ...options.limits, entriesMax: patternLinesMax };
  const log = { ...range, limit: patternLinesMax, direction: 'backward' as const, intervalNs: 0 };
  const { data } = await runQuery({ kind: 'log', expr, log }, { ...options, limits });
  if (data.type !== 'streams') return succeed([]);
  const byLevel = new Map<string, Drain>();
  const samples = new Map<object, Map<bigint, number>>();
  for (const { labels, metadata, lines, timesNs } of data.streams) {
    const level = labelValue(metadata, 'detected_level') ?? labelValue(labels, 'level') ?? 'unknown';
    const drain = byLevel.get(level) ?? createDrain();
    byLevel.set(level, drain);
    for (const [index, line] of lines.entries()) {
      const cluster = drain.add(line);
      if (cluster === undefined) continue;
      const counts = samples.get(cluster) ?? new Map<bigint, number>();
      const timeNs = timesNs[index] ?? 0n;
      const at = timeNs - (timeNs % stepNs);
      samples.set(cluster, counts.set(at, (counts.get(at) ?? 0) + 1));
    }
  }
  const found = [...byLevel].flatMap(([level, drain]) =>
    drain
      .clusters()
      .map((cluster) => ({ level, pattern: drain.pattern(cluster), cluster, size: cluster.size })),
  );
  return succeed(
    found
      .sort((a, b) => b.size - a.size)
      .slice(0, patternsMax)
      .map(({ level, pattern, cluster }) => ({
        ...{ pattern, level },
        samples: [...(samples.get(cluster) ?? [])]
          .sort(([a], [b]) => (a < b ? -1 : 1))
          .map(([ns, count]) => [Number(ns / 1_000_000_000n), count]),
      })),
  );
}

const labelValue = (labels: readonly (readonly [string, string])[], name: string): string | undefined =>
  labels.find(([label]) => label === name)?.[1];
