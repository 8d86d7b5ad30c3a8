import type { Clock } from '../base/clock.ts';
import {
  type CompletenessQuestion,
  type CompletenessRules,
  type CompletenessSource,
  completenessOf,
  type SignalCompleteness,
} from './completeness.ts';

// What a query's answer says when its range is not complete: the same for every language.

/** Gateways that a warning names; of others it tells how many there are. */
const gatewaysNamedMax = 5;

/** The warning of an answer that read this range; undefined when all of it is there. */
export async function completenessWarning(
  question: CompletenessQuestion,
  source: CompletenessSource,
  rules: CompletenessRules,
  clock: Clock,
): Promise<string | undefined> {
  const nowUs = Math.round(clock.nowMs() * 1000);
  const { parts } = completenessOf(question, source.gateways(), await source.gaps(), rules, nowUs);
  const incomplete = parts.filter(({ complete }) => !complete);
  if (incomplete.length === 0) return undefined;
  const named = incomplete.slice(0, gatewaysNamedMax).map(describe);
  const more = incomplete.length - named.length;
  return `completeness: ${[...named, ...(more > 0 ? [`and ${more} more`] : [])].join('; ')}`;
}

function describe({ gateway, site, watermarkUs, behind, pending, gaps }: SignalCompleteness): string {
  const facts = [
    ...(behind || pending.length > 0 ? [`is complete up to ${isoOf(watermarkUs)}`] : []),
    ...(pending.length > 0 ? [`${counted(pending.length, 'range')} still to come`] : []),
    ...(gaps.length > 0 ? [`${counted(gaps.length, 'gap')} in the range`] : []),
  ];
  return `data of gateway ${gateway} (site ${site}): ${facts.join(', ')}`;
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

/** RFC 3339 with milliseconds; a time that no calendar has is told as it is. */
export function isoOf(timestampUs: number): string {
  const date = new Date(Math.floor(timestampUs / 1000));
  return Number.isNaN(date.getTime()) ? `${timestampUs} µs` : date.toISOString();
}
