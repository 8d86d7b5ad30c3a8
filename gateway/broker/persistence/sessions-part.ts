import { z } from 'zod';
import type { Clock } from '../../../lake/base/clock.ts';
import { type RecordPart, type RecordSink, recordKey } from './record-key.ts';

const sessionSchema = z.object({ seconds: z.number().nonnegative() });

interface Session {
  /** How long it is kept from `sinceMs` on. */
  readonly seconds: number;
  /** Monotonic; undefined while its client is connected. */
  readonly sinceMs: number | undefined;
}

/** What is left of an expiry is written again when so much of it is over. */
const rewrittenShare = 0.1;

/**
 * When persistent sessions end. Counted by the monotonic clock, since a gateway's wall clock may jump by years when it
 * learns the time; what is left is written down, so time while the gateway is off does not count.
 */
export function sessionsPart(sink: RecordSink, clock: Clock, secondsMax: number) {
  const sessions = new Map<string, Session>();
  const keyOf = (clientId: string): string => recordKey('session', clientId);
  const leftOf = ({ seconds, sinceMs }: Session): number =>
    sinceMs === undefined ? seconds : seconds - (clock.monotonicMs() - sinceMs) / 1000;
  const set = (clientId: string, seconds: number, sinceMs: number | undefined): void => {
    const before = sessions.get(clientId);
    sessions.set(clientId, { seconds, sinceMs });
    if (before?.seconds !== seconds) note(clientId, seconds);
  };
  const note = (clientId: string, seconds: number): void =>
    sink.set(keyOf(clientId), { payload: null, meta: JSON.stringify({ seconds }) });

  const part: RecordPart = {
    load: ([, clientId = ''], { meta }) => {
      const { seconds } = sessionSchema.parse(JSON.parse(meta));
      sessions.set(clientId, { seconds: Math.min(seconds, secondsMax), sinceMs: clock.monotonicMs() });
    },
    records: function* () {
      for (const [clientId, { seconds }] of sessions)
        yield { key: keyOf(clientId), payload: null, meta: JSON.stringify({ seconds }) };
    },
  };
  return {
    part,
    connected: (clientId: string, seconds: number): void =>
      set(clientId, Math.min(seconds, secondsMax), undefined),
    away: (clientId: string, seconds: number): void =>
      set(clientId, Math.min(seconds, secondsMax), clock.monotonicMs()),
    /** Sessions of an earlier run that nothing is known of, but that they are there. */
    adopt: (clientId: string): void => {
      if (!sessions.has(clientId)) set(clientId, secondsMax, clock.monotonicMs());
    },
    forget: (clientId: string): void => {
      if (sessions.delete(clientId)) sink.set(keyOf(clientId), undefined);
    },
    /** Those that have ended; of the others it writes down now and then what is left. */
    expired: (): string[] => {
      const ended: string[] = [];
      for (const [clientId, session] of sessions) {
        if (session.sinceMs === undefined) continue;
        const left = leftOf(session);
        if (left <= 0) ended.push(clientId);
        else if (session.seconds - left > session.seconds * rewrittenShare)
          set(clientId, Math.ceil(left), clock.monotonicMs());
      }
      return ended;
    },
  };
}
