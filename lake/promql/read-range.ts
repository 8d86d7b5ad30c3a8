import type { Matcher } from './ast.ts';
import type { Plan } from './plan.ts';

/** What a query reads, as far as completeness is concerned: one range around all of its selectors. */
export interface ReadRange {
  /** Both ends inclusive. */
  readonly fromMs: number;
  readonly toMs: number;
  /** The one site or gateway whose series all selectors ask for, if they do. */
  readonly site: string | undefined;
  readonly gateway: string | undefined;
}

export function readRangeOf({ scans }: Plan): ReadRange | undefined {
  const read = scans.filter(({ fromMs, toMs }) => fromMs <= toMs);
  if (read.length === 0) return undefined;
  const matchers = read.map((scan) => scan.matchers);
  return {
    fromMs: Math.min(...read.map(({ fromMs }) => fromMs)),
    toMs: Math.max(...read.map(({ toMs }) => toMs)),
    site: pinned(matchers, 'site'),
    gateway: pinned(matchers, 'gateway'),
  };
}

/** The value that every selector demands of a label. */
function pinned(selectors: readonly (readonly Matcher[])[], label: string): string | undefined {
  const [first, ...others] = selectors.map(
    (matchers) => matchers.find((matcher) => matcher.label === label && matcher.op === '=')?.value,
  );
  return others.every((other) => other === first) ? first || undefined : undefined;
}
