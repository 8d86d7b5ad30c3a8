import { type Context, Hono } from 'hono';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import {
  type CompletenessRules,
  type CompletenessSource,
  completenessOf,
  type SignalCompleteness,
} from '../../completeness/completeness.ts';
import { isoOf } from '../../completeness/warning.ts';
import { signals } from '../../model/batch.ts';
import { badParameter, type Parameters, readParameters, timeParameter } from '../prometheus/parameters.ts';
import { failWith, succeed } from '../prometheus/respond.ts';

export interface CompletenessOptions {
  /** Whose data a request is about; authentication has been done before. */
  readonly context: (c: Context) => CompletenessSource | Promise<CompletenessSource>;
  readonly rules: CompletenessRules;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The range when none is asked for: so long before its end. */
const rangeMsDefault = 3_600_000;
/** Gaps listed for one gateway and signal; `gapCount` tells how many there are. */
const gapsListedMax = 100;

/** `GET /api/v1/firn/completeness?site=&signal=&gateway=&start=&end=`: is all data of a time range there, and why not. */
export function completenessRoutes({ context, rules, clock, logger }: CompletenessOptions): Hono {
  const app = new Hono();
  app.onError((error, c) => failWith(error, c, logger));
  app.get('/api/v1/firn/completeness', async (c) => {
    const question = questionOf(await readParameters(c), clock.nowMs());
    const source = await context(c);
    const nowUs = Math.round(clock.nowMs() * 1000);
    const { complete, parts } = completenessOf(
      question,
      source.gateways(),
      await source.gaps(),
      rules,
      nowUs,
    );
    const { fromUs, toUs } = question;
    return succeed({ complete, start: isoOf(fromUs), end: isoOf(toUs), gateways: parts.map(shown) });
  });
  return app;
}

function questionOf(parameters: Parameters, nowMs: number) {
  const endMs = timeParameter(parameters, 'end') ?? nowMs;
  const startMs = timeParameter(parameters, 'start') ?? endMs - rangeMsDefault;
  if (endMs < startMs) throw badParameter('end', new Error('end timestamp must not be before start time'));
  const asked = parameters.text('signal');
  const signal = signals.find((each) => each === asked);
  if (asked !== '' && signal === undefined)
    throw badParameter('signal', new Error(`${JSON.stringify(asked)} is none of ${signals.join(', ')}`));
  return {
    fromUs: Math.round(startMs * 1000),
    toUs: Math.round(endMs * 1000),
    signal,
    site: parameters.text('site') || undefined,
    gateway: parameters.text('gateway') || undefined,
  };
}

/** Times as RFC 3339. */
const shown = (part: SignalCompleteness) => ({
  site: part.site,
  gateway: part.gateway,
  signal: part.signal,
  complete: part.complete,
  behind: part.behind,
  head: isoOf(part.headUs),
  watermark: isoOf(part.watermarkUs),
  lastHeard: isoOf(part.lastHeardUs),
  pending: part.pending.map(({ fromUs, toUs, rows, bytes }) => ({
    start: isoOf(fromUs),
    end: isoOf(toUs),
    rows,
    bytes,
  })),
  gapCount: part.gaps.length,
  gaps: part.gaps.slice(0, gapsListedMax).map((gap) => ({
    start: isoOf(gap.fromUs),
    end: isoOf(gap.toUs),
    class: gap.class,
    kind: gap.kind,
    reason: gap.reason,
    rows: gap.rows,
    detail: gap.detail,
  })),
});
