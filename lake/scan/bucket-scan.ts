import { labelsJson, parseLabelsJson } from '../model/labels.ts';
import { bucketMsOf, type RollupTable, rollupTables } from '../model/table-name.ts';
import { type Buckets, foldSeries, sortBuckets } from '../promql/rollups/buckets.ts';
import type { BucketSelection, SelectedBuckets, SeriesSource } from '../promql/source.ts';
import { compareLabels } from '../promql/value.ts';
import type { Engine } from '../sql/duckdb/engine.ts';
import type { Rollups, RollupView } from '../tables.ts';
import { exactName } from './conditions.ts';
import { readBuckets } from './read-buckets.ts';
import { tooMuch } from './read-series.ts';

// Series in buckets: from a rollup table where that is what `metrics` holds, and from samples for the rest of the time
// and at ragged ends. Parts lie side by side, a bucket is never of two.

/** Stretches of time that are read as samples; with more, all are. */
const samplePartsMax = 8;
/** A bucket has a dozen numbers, a sample two: with fewer samples a bucket there is nothing to gain. */
const samplesPerBucketMin = 6;

export interface BucketScanOptions {
  readonly rollups: Rollups;
  readonly select: SeriesSource['select'];
  readonly engine: Engine;
}

/** Undefined when no rollup has it all, or reading samples costs no more. */
export async function scanBuckets(
  options: BucketScanOptions,
  selection: BucketSelection,
  signal: AbortSignal,
): Promise<SelectedBuckets | undefined> {
  for (const table of rollupTables.toReversed()) {
    if (selection.bucketMs % bucketMsOf[table] !== 0) continue;
    const found = await scanTable(options, table, { ...selection, bucketMs: bucketMsOf[table] }, signal);
    if (found) return found;
  }
  return undefined;
}

async function scanTable(
  options: BucketScanOptions,
  table: RollupTable,
  selection: BucketSelection,
  signal: AbortSignal,
): Promise<SelectedBuckets | undefined> {
  const { afterMs, toMs, bucketMs, matchers } = selection;
  const name = exactName(matchers);
  const prune = {
    fromUs: (afterMs - bucketMs) * 1000,
    toUs: toMs * 1000,
    ...(name !== undefined && { name }),
  };
  await using view = await options.rollups.open(table, prune, signal);
  if (!view) return undefined;
  const parts = partsOf(selection, view.outdated);
  if (!isWorthIt(view, parts, selection)) return undefined;
  const bySeries = new Map<string, Buckets[]>();
  let read = 0;
  const add = (labels: string, buckets: Buckets): void => {
    const known = bySeries.get(labels);
    if (known) known.push(buckets);
    else bySeries.set(labels, [buckets]);
  };
  for (const { labels, buckets } of await readBuckets(options, view.from, selection, parts.rolled, signal)) {
    read += buckets.endsMs.length;
    add(labels, buckets);
  }
  for (const part of parts.samples) {
    const samplesMax = selection.samplesMax - read;
    const request = { ...selection, fromMs: part.afterMs + 1, toMs: part.toMs, samplesMax };
    for (const series of await options.select(request, signal)) {
      read += series.values.length;
      add(labelsJson(series.labels), foldSeries(series, { ...part, bucketMs }));
    }
  }
  if (bySeries.size > selection.seriesMax) throw tooMuch('seriesMax', selection.seriesMax, 'series');
  const series = Array.from(bySeries, ([labels, all]) => ({
    ...{ labels: parseLabelsJson(labels), buckets: sortBuckets(all) },
  })).filter(({ buckets }) => buckets.endsMs.length > 0);
  if (series.some(({ buckets }) => buckets.flags.some((flags) => flags & selection.unusable)))
    return undefined;
  series.sort((one, other) => compareLabels(one.labels, other.labels));
  return { series, table, read };
}

/** What is read from where: buckets by when they begin, `toMs` is not in it; samples after `afterMs`. */
interface Parts {
  readonly rolled: readonly { readonly fromMs: number; readonly toMs: number }[];
  readonly samples: readonly { readonly afterMs: number; readonly toMs: number }[];
}

/** Ragged ends and what is out of date are read as samples. */
function partsOf({ afterMs, toMs, bucketMs }: BucketSelection, outdated: RollupView['outdated']): Parts {
  const firstMs = Math.ceil(afterMs / bucketMs) * bucketMs;
  const lastMs = Math.max(firstMs, Math.floor(toMs / bucketMs) * bucketMs);
  const rolled: { fromMs: number; toMs: number }[] = [];
  const samples: { afterMs: number; toMs: number }[] = [];
  let atMs = firstMs;
  for (const times of [...outdated, { fromMs: lastMs, toMs: lastMs }]) {
    const fromMs = Math.min(Math.max(times.fromMs, atMs), lastMs);
    const endMs = Math.min(Math.max(times.toMs, fromMs), lastMs);
    if (fromMs > atMs) rolled.push({ fromMs: atMs, toMs: fromMs });
    if (endMs > fromMs) samples.push({ afterMs: fromMs, toMs: endMs });
    atMs = Math.max(atMs, endMs);
  }
  if (afterMs < Math.min(firstMs, toMs)) samples.unshift({ afterMs, toMs: Math.min(firstMs, toMs) });
  if (lastMs < toMs && firstMs < toMs) samples.push({ afterMs: lastMs, toMs });
  return { rolled, samples };
}

function isWorthIt(
  view: RollupView,
  { rolled, samples }: Parts,
  { afterMs, toMs }: BucketSelection,
): boolean {
  const rolledMs = rolled.reduce((sum, times) => sum + times.toMs - times.fromMs, 0);
  if (samples.length > samplePartsMax || 2 * rolledMs < toMs - afterMs) return false;
  return view.outlives || view.rows * samplesPerBucketMin <= view.sampleRows;
}
