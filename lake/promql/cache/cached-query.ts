import type { VersionOf } from '../../model/row-versions.ts';
import { annotationsMax } from '../annotations.ts';
import { tooManySamples, withLimit } from '../budget.ts';
import type { QueryLimits } from '../limits.ts';
import { type Plan, planQuery, type QueryTimes } from '../plan.ts';
import { type Query, type QueryOptions, type QueryResult, rangeQuery } from '../query.ts';
import { readRangeOf } from '../read-range.ts';
import { sorted } from '../result.ts';
import { planRollups } from '../rollups/plan.ts';
import { histogramHistoryMs, type SeriesData } from '../source.ts';
import { isEmpty, toMatrix } from '../value.ts';
import {
  type Block,
  blockSteps,
  bytesOf,
  common,
  countOf,
  createAssembly,
  cutBlock,
  matrixOf,
  phaseOf,
  type StepRange,
  stepsOf,
  timesOfSteps,
} from './block.ts';
import type { CacheEntry, ResultCache } from './result-cache.ts';
import { isStepLocal } from './step-local.ts';

export interface CachedResult extends QueryResult {
  /** Steps that were answered from memory; undefined where nothing can be. */
  readonly cachedSteps: number | undefined;
}

/** More stretches than these are evaluated as one, with what lies between. */
const stretchesMax = 4;
/** An answer that would take more of the memory than one in so many is not remembered. */
const shareMax = 4;

/** A query that is put together, and what is known of it. */
interface Task {
  readonly query: Query;
  readonly times: QueryTimes;
  readonly options: QueryOptions;
  readonly plan: Plan;
  readonly steps: StepRange;
  readonly cache: ResultCache;
  readonly entry: CacheEntry;
  /** The version of all rows that these steps are made of. */
  readonly versionOf: (steps: StepRange, state: VersionOf) => string | undefined;
  readonly look: () => Promise<VersionOf>;
}

interface Part {
  readonly steps: StepRange;
  readonly result: QueryResult;
}

/**
 * Answers a query at every step of a range as rangeQuery does, with what is remembered of other ranges. A block of steps is
 * taken from memory if no row of the times that it is made of has changed since.
 */
export async function cachedRangeQuery(
  query: Query,
  times: QueryTimes,
  options: QueryOptions,
  cache: ResultCache,
): Promise<CachedResult> {
  const timed = { ...options, sinceMs: options.clock.monotonicMs() };
  const task = taskOf(query, times, timed, cache);
  if (task === undefined || task.entry.refused) return uncached(query, times, timed);
  const before = await task.look();
  const known = knownBlocks(task, before);
  const parts: Part[] = [];
  for (const steps of missing(task, known)) {
    const result = await rangeQuery(query, timesOfSteps(times, steps), timed);
    if (!result.additive) {
      task.entry.refused = true;
      return uncached(query, times, timed);
    }
    parts.push({ steps, result });
  }
  await remember(task, parts, before);
  return unite(task, known, parts) ?? uncached(query, times, timed);
}

const uncached = async (query: Query, times: QueryTimes, options: QueryOptions): Promise<CachedResult> => ({
  ...(await rangeQuery(query, times, options)),
  cachedSteps: undefined,
});

/** Undefined for a query whose answers are not remembered. */
function taskOf(
  query: Query,
  times: QueryTimes,
  options: QueryOptions,
  cache: ResultCache,
): Task | undefined {
  const { source, lookbackMs, counted = false } = options;
  const { versions } = source;
  if (versions === undefined || cache.bytesMax === 0 || !isStepLocal(query.expr)) return undefined;
  const plan = planQuery(query.expr, times, lookbackMs);
  const steps = stepsOf(times);
  if (plan.scans.length === 0 || plan.times.steps - 1 > options.limits.stepsMax) return undefined;
  // Where rollups can stand in for samples, little is read; and they outlive what they were made of.
  if (source.selectBuckets && planRollups(plan).some((one) => one !== undefined)) return undefined;
  const key = JSON.stringify([versions.scope, query.text, times.stepMs, phaseOf(times), lookbackMs, counted]);
  const ranges = plan.scans.map(readBy);
  const look = () =>
    versions.look(
      Math.min(...ranges.map(({ fromMs }) => fromMs)),
      Math.max(...ranges.map(({ toMs }) => toMs)),
    );
  const versionOf = (part: StepRange, state: VersionOf): string | undefined => {
    const { scans } = planQuery(query.expr, timesOfSteps(times, part), lookbackMs);
    const found = scans.map(readBy).map(({ fromMs, toMs }) => state(fromMs, toMs));
    return found.includes(undefined) ? undefined : found.join();
  };
  return { query, times, options, plan, steps, cache, entry: cache.entry(key), versionOf, look };
}

const readBy = ({ fromMs, toMs }: Plan['scans'][number]) => ({ fromMs: fromMs - histogramHistoryMs, toMs });

const stepsOfBlock = (number: number): StepRange => ({
  first: number * blockSteps,
  last: (number + 1) * blockSteps - 1,
});

const blockOf = (step: number): number => Math.floor(step / blockSteps);

/** The parts of the steps that are asked for which lie in one block each. */
function* partsByBlock(steps: StepRange): Generator<{ readonly number: number; readonly part: StepRange }> {
  for (let number = blockOf(steps.first); number <= blockOf(steps.last); number++)
    yield { number, part: common(stepsOfBlock(number), steps) };
}

/** What is remembered, and still so, of the steps that are asked for. */
function knownBlocks({ steps, entry, versionOf }: Task, state: VersionOf): ReadonlyMap<number, Block> {
  const known = new Map<number, Block>();
  for (const { number, part } of partsByBlock(steps)) {
    const block = entry.get(number, (found, version) => versionOf(found.steps, state) === version);
    if (block && isUsable(block, part)) known.set(number, block);
  }
  return known;
}

/** Of annotations it is not known at which of its steps they were made. */
const isUsable = (block: Block, { first, last }: StepRange): boolean =>
  isNoted(block)
    ? block.steps.first === first && block.steps.last === last
    : block.steps.first <= first && last <= block.steps.last;

const isNoted = ({ warnings, infos }: Pick<Block, 'warnings' | 'infos'>): boolean =>
  warnings.length + infos.length > 0;

/** The steps that are to be evaluated, in stretches. */
function missing({ steps, entry }: Task, known: ReadonlyMap<number, Block>): readonly StepRange[] {
  const found: StepRange[] = [];
  for (const { number, part } of partsByBlock(steps)) {
    if (known.has(number)) continue;
    const before = found.at(-1);
    if (before && before.last + 1 === part.first && !entry.noted)
      found[found.length - 1] = { first: before.first, last: part.last };
    else found.push(part);
  }
  const [first] = found;
  if (entry.noted || found.length <= stretchesMax || first === undefined) return found;
  return [{ first: first.first, last: found.at(-1)?.last ?? first.last }];
}

/** Keeps what is made of rows that were the same before and after. */
async function remember(task: Task, parts: readonly Part[], before: VersionOf): Promise<void> {
  const { entry, cache, times, versionOf } = task;
  const kept = parts.filter(({ steps, result }) => {
    const series = matrixOf(result.data);
    const large = bytesOf(series.length, countOf(steps)) * shareMax > cache.bytesMax;
    const single = blockOf(steps.first) === blockOf(steps.last);
    if (isNoted(result)) entry.noted = true;
    return !large && result.rollups.length === 0 && (single || !isNoted(result));
  });
  if (kept.length === 0) return;
  // Without a second look nothing is remembered; the answer is right all the same.
  const after = await task.look().catch(() => undefined);
  if (after === undefined) return;
  for (const { steps, result } of kept)
    for (const { number, part } of partsByBlock(steps)) {
      const version = versionOf(part, before);
      if (version === undefined || versionOf(part, after) !== version) continue;
      const [from, to] = [part.first - steps.first, part.last - steps.first + 1];
      const samplesPerStep = result.counts?.perStep.slice(from, to);
      const { warnings, infos } = result;
      const block = cutBlock(matrixOf(result.data), times, part, { warnings, infos, samplesPerStep });
      entry.put(number, version, block);
    }
}

/** Undefined where the parts have more annotations than an answer may. */
function unite(
  { plan, steps, cache, options }: Task,
  known: ReadonlyMap<number, Block>,
  parts: readonly Part[],
): CachedResult | undefined {
  const assembly = createAssembly(plan.times, steps);
  // Of what is known some may have been evaluated again, because it lies between other parts.
  const blocks = [...known.values()].filter((block) => {
    const { first } = common(block.steps, steps);
    return !parts.some((part) => part.steps.first <= first && first <= part.steps.last);
  });
  for (const block of blocks) assembly.addBlock(block);
  for (const { result } of parts) assembly.addSeries(matrixOf(result.data));
  const results = parts.map(({ result }) => result);
  const noted = [...blocks, ...results];
  const warnings = [...new Set(noted.flatMap((one) => one.warnings))];
  const infos = [...new Set(noted.flatMap((one) => one.infos))];
  if (warnings.length > annotationsMax || infos.length > annotationsMax) return undefined;
  const evaluatedSteps = total(parts.map((part) => countOf(part.steps)));
  const cachedSteps = plan.times.steps - evaluatedSteps;
  cache.count({ reusedSteps: cachedSteps, evaluatedSteps });
  return {
    data: { type: 'matrix', series: seriesOf(assembly, plan, options.limits) },
    ...{ warnings, infos, additive: true },
    samplesRead: total(results.map((one) => one.samplesRead)),
    ...(options.counted && {
      counts: {
        perStep: countsOf(steps, blocks, parts),
        peakSamples: Math.max(0, ...results.map(({ counts }) => counts?.peakSamples ?? 0)),
      },
      timings: {
        preparedMs: total(results.map(({ timings }) => timings?.preparedMs ?? 0)),
        evaluatedMs: total(results.map(({ timings }) => timings?.evaluatedMs ?? 0)),
      },
    }),
    rollups: [...new Set(results.flatMap((one) => one.rollups))],
    read: readRangeOf(plan),
    cachedSteps,
  };
}

const total = (numbers: readonly number[]): number => numbers.reduce((sum, one) => sum + one, 0);

/** Samples by step, of all parts. */
function countsOf(asked: StepRange, blocks: readonly Block[], parts: readonly Part[]): Float64Array {
  const counts = new Float64Array(countOf(asked));
  const known = blocks.map(({ steps, samplesPerStep }) => ({ steps, samplesPerStep }));
  const evaluated = parts.map(({ steps, result }) => ({ steps, samplesPerStep: result.counts?.perStep }));
  for (const { steps, samplesPerStep } of [...known, ...evaluated]) {
    const { first, last } = common(steps, asked);
    for (let step = first; step <= last; step++)
      counts[step - asked.first] = samplesPerStep?.[step - steps.first] ?? 0;
  }
  return counts;
}

function seriesOf(
  { series }: ReturnType<typeof createAssembly>,
  { times }: Plan,
  limits: QueryLimits,
): readonly SeriesData[] {
  const found = [...series.values()].filter((one) => !isEmpty(one)).map((one) => toMatrix(one, times));
  if (total(found.map(({ values }) => values.length)) > limits.samplesMax)
    throw withLimit(tooManySamples(), limits);
  return sorted(found);
}
