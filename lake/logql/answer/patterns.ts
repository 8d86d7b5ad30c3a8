import type { LogExpr } from '../ast.ts';
import type { Reading } from '../collect.ts';
import { type LogOptions, streamsOf } from '../query.ts';
import { createDrain, type Drain } from './drain.ts';

export interface PatternsTask {
  readonly kind: 'patterns';
  readonly expr: LogExpr;
  /** The lines to look at. */
  readonly log: LogOptions;
  readonly stepNs: bigint;
}

/** Patterns of one answer, those of most lines. */
const patternsMax = 300;

/** What shapes lines have, and how many of each when: the JSON of an answer. */
export async function patternsText({ expr, log, stepNs }: PatternsTask, reading: Reading): Promise<string> {
  const byLevel = new Map<string, Drain>();
  const samples = new Map<object, Map<bigint, number>>();
  for (const { labels, metadata, lines, timesNs } of await streamsOf(expr, log, reading)) {
    const level = labelValue(metadata, 'detected_level') ?? labelValue(labels, 'level') ?? 'unknown';
    const drain = byLevel.get(level) ?? createDrain();
    byLevel.set(level, drain);
    for (const [index, line] of lines.entries()) {
      await reading.budget.breathe();
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
  const data = found
    .sort((a, b) => b.size - a.size)
    .slice(0, patternsMax)
    .map(({ level, pattern, cluster }) => ({
      ...{ pattern, level },
      samples: [...(samples.get(cluster) ?? [])]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([ns, count]) => [Number(ns / 1_000_000_000n), count]),
    }));
  return JSON.stringify({ status: 'success', data });
}

const labelValue = (labels: readonly (readonly [string, string])[], name: string): string | undefined =>
  labels.find(([label]) => label === name)?.[1];
