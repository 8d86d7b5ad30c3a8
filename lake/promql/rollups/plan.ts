import { bucketMsOf, rollupTables } from '../../model/table-name.ts';
import type { CallNode, InstantNode, Plan, PlanNode, Reference, Times, WindowNode } from '../plan.ts';
import { bucketFlags } from './buckets.ts';
import { bucketFunctions } from './functions.ts';

// Which selectors of a plan could be read from rollups with the same answer: those that are looked at by nothing but
// functions that work on whole buckets, at times between buckets. Whether there are rollups is another question.

/** A selector, in buckets. */
export interface BucketScan {
  /** What is read begins after this, and ends with `toMs`. */
  readonly afterMs: number;
  readonly toMs: number;
  readonly bucketMs: number;
  /** Flags of buckets with which its functions can't work. */
  readonly unusable: number;
}

/** How a node looks at its scan. */
interface Use {
  readonly node: InstantNode | WindowNode;
  /** Undefined: as something else than the argument of one of these functions. */
  readonly name: string | undefined;
  readonly times: Times;
}

/** By the number of the scan; undefined where samples are needed. The largest buckets that fit. */
export function planRollups(plan: Plan): readonly (BucketScan | undefined)[] {
  const uses: Use[] = [];
  const spoiled = new Set<number>();
  visit(plan.root, plan.times, uses, spoiled);
  return plan.scans.map((_, scan) => {
    const ofScan = uses.filter(({ node }) => node.scan === scan);
    if (ofScan.length === 0 || spoiled.has(scan)) return undefined;
    for (const table of rollupTables.toReversed()) {
      const found = fitted(ofScan, bucketMsOf[table], plan.lookbackMs);
      if (found) return found;
    }
    return undefined;
  });
}

function visit(node: PlanNode, times: Times, uses: Use[], spoiled: Set<number>): void {
  switch (node.kind) {
    case 'number':
    case 'string':
      break;
    case 'instant':
      uses.push({ node, name: node.smoothed ? undefined : 'instant', times });
      break;
    case 'window':
      uses.push({ node, name: undefined, times });
      break;
    case 'subquery':
      visit(node.input, node.times, uses, spoiled);
      break;
    case 'negate':
      visit(node.input, times, uses, spoiled);
      break;
    case 'once':
      visit(node.input, { ...times, steps: 1 }, uses, spoiled);
      break;
    case 'aggregation':
      if (node.parameter) visit(node.parameter, times, uses, spoiled);
      visit(node.input, times, uses, spoiled);
      break;
    case 'binary':
      visit(node.left, times, uses, spoiled);
      visit(node.right, times, uses, spoiled);
      break;
    case 'call':
      visitCall(node, times, uses, spoiled);
      break;
  }
}

function visitCall(node: CallNode, times: Times, uses: Use[], spoiled: Set<number>): void {
  const { name, args, info } = node;
  if (info) spoiled.add(info.scan);
  for (const arg of args) {
    const usable = arg.kind === 'window' && !arg.extension && Object.hasOwn(bucketFunctions, name);
    if (usable) uses.push({ node: arg, name, times });
    // Since when a sample counts is in no bucket.
    else if (name === 'start_timestamp' && arg.kind === 'instant') spoiled.add(arg.scan);
    else visit(arg, times, uses, spoiled);
  }
}

const counterFunctions: ReadonlySet<string> = new Set(['rate', 'increase', 'resets']);
const sumFunctions: ReadonlySet<string> = new Set(['sum_over_time', 'avg_over_time']);

function fitted(uses: readonly Use[], bucketMs: number, lookbackMs: number): BucketScan | undefined {
  let unusable: number = bucketFlags.histograms;
  const ranges: { readonly afterMs: number; readonly toMs: number }[] = [];
  for (const { node, name, times } of uses) {
    if (name === undefined || times.steps < 1) return undefined;
    const single = node.atMs !== undefined || times.steps === 1;
    const windowMs = node.kind === 'window' ? node.rangeMs : undefined;
    // The ends of a single range may lie within buckets: what is left over there is read as samples.
    const ragged = single && uses.length === 1 && windowMs !== undefined && windowMs >= 4 * bucketMs;
    if (!ragged && !isAligned(node, times, windowMs, bucketMs, single)) return undefined;
    if (counterFunctions.has(name)) unusable |= bucketFlags.starts;
    if (sumFunctions.has(name)) unusable |= bucketFlags.overflow;
    const [firstMs, lastMs] = referenceTimes(node, times);
    const backMs = windowMs ?? Math.ceil(lookbackMs / bucketMs) * bucketMs;
    ranges.push({ afterMs: firstMs - backMs, toMs: lastMs });
  }
  const afterMs = Math.min(...ranges.map((range) => range.afterMs));
  const toMs = Math.max(...ranges.map((range) => range.toMs));
  return { afterMs, toMs, bucketMs, unusable };
}

function isAligned(
  node: Reference,
  times: Times,
  windowMs: number | undefined,
  bucketMs: number,
  single: boolean,
): boolean {
  // A single look at the newest sample reads few of them anyway.
  if (windowMs === undefined && single) return false;
  const [firstMs] = referenceTimes(node, times);
  const steps = single ? 0 : times.stepMs;
  return [firstMs, steps, windowMs ?? 0].every((ms) => ms % bucketMs === 0);
}

/** Where the first and the last step look. */
function referenceTimes({ atMs, offsetMs }: Reference, { startMs, stepMs, steps }: Times): [number, number] {
  const at = (stepTimeMs: number): number => (atMs ?? stepTimeMs) - offsetMs;
  return [at(startMs), at(startMs + (steps - 1) * stepMs)];
}
