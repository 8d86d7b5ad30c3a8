import { type Signal, signals } from '../model/batch.ts';
import type { Gap } from '../model/gap.ts';
import type { PendingRange, ShippingProgress } from '../model/progress.ts';

// How complete a time range is, from what gateways say of themselves: how far they have shipped, what is still to come,
// and what never will. Pure: no clock, no store.

/** How far one gateway has shipped. */
export interface GatewayShipping {
  readonly gateway: string;
  readonly site: string;
  readonly progress: ShippingProgress;
  readonly lastHeardUs: number;
}

/** A row of the table `gaps`. */
export interface GapRow extends Gap {
  readonly gateway: string;
  readonly site: string;
}

/** The port: what a deployment knows. */
export interface CompletenessSource {
  gateways(): readonly GatewayShipping[];
  /** Rows of the table `gaps`; may be some seconds old. */
  gaps(): Promise<readonly GapRow[]>;
}

/** Both ends belong to the range; what is absent does not restrict. */
export interface CompletenessQuestion {
  readonly fromUs: number;
  readonly toUs: number;
  readonly signal?: Signal | undefined;
  readonly site?: string | undefined;
  readonly gateway?: string | undefined;
}

export interface CompletenessRules {
  /** Data younger than this is not expected to be there yet. */
  readonly toleranceMs: number;
  /** A gateway that was not heard of for so long is not waited for. */
  readonly retiredAfterDays: number;
}

/** One signal of one gateway in the range. */
export interface SignalCompleteness {
  readonly gateway: string;
  readonly site: string;
  readonly signal: Signal;
  readonly complete: boolean;
  /** Rows received later than `headUs` are not known of, although some of the range could be among them. */
  readonly behind: boolean;
  readonly headUs: number;
  readonly watermarkUs: number;
  readonly lastHeardUs: number;
  /** Of the range, still to come. */
  readonly pending: readonly PendingRange[];
  /** In the range. */
  readonly gaps: readonly GapRow[];
}

export interface Completeness {
  readonly complete: boolean;
  readonly parts: readonly SignalCompleteness[];
}

const dayUs = 86_400_000_000;

/** Answers for every gateway that has ever had rows of the signal, in order of site and gateway. */
export function completenessOf(
  question: CompletenessQuestion,
  gateways: readonly GatewayShipping[],
  gaps: readonly GapRow[],
  rules: CompletenessRules,
  nowUs: number,
): Completeness {
  const asked = gateways
    .filter(({ lastHeardUs }) => lastHeardUs >= nowUs - rules.retiredAfterDays * dayUs)
    .filter(({ site, gateway }) => isAsked(question, site, gateway))
    .toSorted((a, b) => compareText(a.site, b.site) || compareText(a.gateway, b.gateway));
  const expectedUs = Math.min(question.toUs, nowUs - rules.toleranceMs * 1000);
  const parts = asked.flatMap((each) =>
    signals
      .filter((signal) => question.signal === undefined || question.signal === signal)
      .flatMap((signal) => partOf(question, each, signal, gaps, expectedUs) ?? []),
  );
  return { complete: parts.every(({ complete }) => complete), parts };
}

function partOf(
  { fromUs, toUs }: CompletenessQuestion,
  { gateway, site, progress, lastHeardUs }: GatewayShipping,
  signal: Signal,
  gaps: readonly GapRow[],
  expectedUs: number,
): SignalCompleteness | undefined {
  const inRange = (range: { readonly fromUs: number; readonly toUs: number }): boolean =>
    range.fromUs <= toUs && range.toUs >= fromUs;
  const own = gaps.filter((gap) => gap.gateway === gateway && gap.signal === signal && inRange(gap));
  const shipped = progress[signal];
  // It has never had a row of this signal: nothing is missing, unless it says so.
  if (shipped === undefined && own.length === 0) return undefined;
  const { headUs, watermarkUs } = shipped ?? { headUs: lastHeardUs, watermarkUs: lastHeardUs };
  const pending = (shipped?.pending ?? []).filter(inRange);
  const behind = shipped !== undefined && expectedUs >= fromUs && headUs < expectedUs;
  const complete = !behind && pending.length === 0 && own.length === 0;
  return { gateway, site, signal, complete, behind, headUs, watermarkUs, lastHeardUs, pending, gaps: own };
}

const isAsked = (question: CompletenessQuestion, site: string, gateway: string): boolean =>
  (question.site ?? site) === site && (question.gateway ?? gateway) === gateway;

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
