import type { Clock } from '../../base/clock.ts';
import type { ServerTime } from '../object-store.ts';
import type { Connections } from './connection.ts';

// What each try of a request tells, also those that the SDK repeats by itself.

/** The `Date` header (RFC 9110 6.6.1) counts whole seconds. */
const dateStepMs = 1000;
/** How far two clocks may drift apart: bad crystals, in parts of one. */
const driftMax = 1e-4;

/**
 * Watches every try of every request from now on. One that got no answer closes the unused connections, which have most
 * likely died with it: else each of them would cost the next request its own idleMsMax, also when the line is back.
 * Returns what the newest answers tell about the server's clock.
 */
export function watchTries({ client, dropUnused }: Connections, clock: Clock): () => ServerTime | undefined {
  let known: ServerTime | undefined;
  client.middlewareStack.add(
    (next) => async (args) => {
      const sentMs = clock.monotonicMs();
      const result = await next(args).catch((error: unknown) => {
        dropUnused();
        throw error;
      });
      known = better(known, readTime(result.response, sentMs, clock.monotonicMs()));
      return result;
    },
    // The innermost: inside the SDK's own repetition, around what goes over the wire.
    { step: 'deserialize', priority: 'low', name: 'firnWatchTries' },
  );
  return () => known;
}

/** The header was written at some moment between the two: a long upload tells little. */
function readTime(response: unknown, sentMs: number, answeredMs: number): ServerTime | undefined {
  const { statusCode, headers } = response as { statusCode?: number; headers?: Record<string, string> };
  // Others than 2xx may come from whatever stands in the way, a captive portal for one.
  if (statusCode === undefined || statusCode < 200 || statusCode > 299) return undefined;
  const dateMs = Date.parse(headers?.date ?? '');
  if (Number.isNaN(dateMs)) return undefined;
  return {
    serverMs: dateMs + dateStepMs / 2,
    atMonotonicMs: (sentMs + answeredMs) / 2,
    uncertaintyMs: (dateStepMs + answeredMs - sentMs) / 2,
  };
}

/** The newer one, unless the older one is still the more exact. */
function better(old: ServerTime | undefined, found: ServerTime | undefined): ServerTime | undefined {
  if (old === undefined || found === undefined) return found ?? old;
  const drift = (found.atMonotonicMs - old.atMonotonicMs) * driftMax;
  return old.uncertaintyMs + drift < found.uncertaintyMs ? old : found;
}
